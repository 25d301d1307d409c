"""Trust: which certificates a server may show, as contexts of the TLS library."""

import ssl

from bek_operator.http.metered_tls import Context
from bek_operator.lru_cache import LRUCache
from bek_operator.net.ca_bundle import Trust, check_ca_bundle


class TLSContexts:
    """One TLS context for each set of authorities, made when it is first needed: it takes milliseconds."""

    def __init__(self, size: int = 256) -> None:
        self._made: LRUCache[str | None, ssl.SSLContext] = LRUCache(size)

    def of(self, trust: Trust) -> ssl.SSLContext:
        """Return the context that trusts these authorities; the name is checked for each connection.

        Raises:
            ValueError: The authorities cannot be read; the message says why, shows nothing of them, and may be shown.
        """
        context = self._made.get(trust.ca_bundle)
        if context is None:
            context = _context(trust.ca_bundle)
            self._made.put(trust.ca_bundle, context)
        return context


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    # Not ssl.create_default_context(): from Python 3.13 on it is strict about the form of certificates and refuses
    # many a self-signed one, which the API's own images make.
    context = Context()
    # A server's own certificate, or an intermediate one, may be all that is to be trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_bundle is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load(context, ca_bundle)
    return context


def _load(context: ssl.SSLContext, text: str) -> None:
    check_ca_bundle(text)
    try:
        # Comments between the certificates may be in any language; the library takes ASCII only.
        context.load_verify_locations(cadata=text.encode("ascii", "replace").decode())
    except ssl.SSLError:
        raise ValueError("holds a certificate that cannot be read") from None
