"""TLS contexts by CA bundle."""

import ssl

from bek_operator.http.metered_tls import MeteredContext
from bek_operator.lru_cache import LRUCache
from bek_operator.net.ca_bundle import ServerTrust, check_ca_bundle


class TLSContexts:
    """One TLS context for each CA bundle; cached, because making one takes milliseconds."""

    def __init__(self, size: int = 256) -> None:
        self._contexts: LRUCache[str | None, ssl.SSLContext] = LRUCache(size)

    def of(self, trust: ServerTrust) -> ssl.SSLContext:
        """Return the context that trusts the CA bundle; the host name is verified for each connection.

        Raises:
            ValueError: The CA bundle cannot be used; the message says why, and quotes nothing.
        """
        context = self._contexts.get(trust.ca_bundle)
        if context is None:
            context = _context(trust.ca_bundle)
            self._contexts.put(trust.ca_bundle, context)
        return context


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    # Not ssl.create_default_context(): from Python 3.13 on it sets VERIFY_X509_STRICT and refuses many self-signed
    # certificates, such as those that the On-Premises API's own images make.
    context = MeteredContext()
    # The bundle may hold the server's own certificate or an intermediate CA only.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_bundle is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load(context, ca_bundle)
    return context


def _load(context: ssl.SSLContext, text: str) -> None:
    check_ca_bundle(text)
    try:
        # Comments between the certificates may be in any language; OpenSSL takes ASCII only.
        context.load_verify_locations(cadata=text.encode("ascii", "replace").decode())
    except ssl.SSLError:
        raise ValueError("holds a certificate that cannot be read") from None
