"""Trust: which certificates a server may show, as contexts of the TLS library."""

import ssl

from bek_operator.model.authorities import check_authorities
from bek_operator.model.endpoint import Trust
from bek_operator.model.recent import Recent
from bek_operator.whatsapp.tls import Context


class Contexts:
    """One TLS context for each set of authorities, made when it is first needed: it takes milliseconds."""

    def __init__(self, size: int = 256) -> None:
        self._made: Recent[str | None, ssl.SSLContext] = Recent(size)

    def of(self, trust: Trust) -> ssl.SSLContext:
        """Return the context that trusts these authorities; the name is checked for each connection.

        Raises:
            ValueError: The authorities cannot be read; the message says why, shows nothing of them, and may be shown.
        """
        context = self._made.get(trust.authorities)
        if context is None:
            context = _context(trust.authorities)
            self._made.put(trust.authorities, context)
        return context


def _context(authorities: str | None) -> ssl.SSLContext:
    # Not ssl.create_default_context(): from Python 3.13 on it is strict about the form of certificates and refuses
    # many a self-signed one, which the API's own images make.
    context = Context()
    # A server's own certificate, or an intermediate one, may be all that is to be trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load(context, authorities)
    return context


def _load(context: ssl.SSLContext, text: str) -> None:
    check_authorities(text)
    try:
        # Comments between the certificates may be in any language; the library takes ASCII only.
        context.load_verify_locations(cadata=text.encode("ascii", "replace").decode())
    except ssl.SSLError:
        raise ValueError("holds a certificate that cannot be read") from None
