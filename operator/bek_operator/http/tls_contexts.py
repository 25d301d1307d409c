"""TLS contexts by CA bundle."""

import ssl
import time
from collections.abc import Hashable
from typing import Final

from bek_operator.http.metered_tls import MeteredContext
from bek_operator.http.turns import Turns
from bek_operator.lru_cache import LRUCache
from bek_operator.net.ca_bundle import ServerTrust, check_ca_bundle
from bek_operator.single_flight import SingleFlight

CACHED_CHARACTERS: Final = 512 * 1024
"""Characters of all CA bundles whose contexts are cached. A context takes up to ten times the memory."""

CPU_SHARE: Final = 0.1
"""Part of the time in which CA bundles of one tenant are loaded; 64 KiB take 12 ms."""


class TLSContexts:
    """One TLS context for each CA bundle; cached, because making one takes milliseconds."""

    def __init__(self, turns: Turns, characters: int = CACHED_CHARACTERS) -> None:
        """Take where CA bundles are loaded, and how many characters of them have cached contexts."""
        self._turns = turns
        self._tenants: LRUCache[Hashable, MeteredContext] = LRUCache(characters)
        self._settings: dict[Hashable, MeteredContext] = {}
        self._loading: SingleFlight[Hashable, MeteredContext] = SingleFlight()

    async def of(self, trust: ServerTrust) -> MeteredContext:
        """Return the context that trusts the CA bundle; the host name is verified for each connection.

        Raises:
            ValueError: The CA bundle cannot be used; the message says why, and quotes nothing.
        """
        digest = trust.ca_digest
        context = self._settings.get(digest) or self._tenants.get(digest)
        return context or await self._loading.do((trust.tenant, digest), lambda: self._load(trust))

    async def close(self) -> None:
        """Load nothing more."""
        await self._loading.close()

    async def _load(self, trust: ServerTrust) -> MeteredContext:
        work = _Work(trust.ca_bundle)
        context = await self._turns.run(trust.tenant, work, end=work.pause)
        if trust.ca_bundle is None or not trust.tenant:
            self._settings[trust.ca_digest] = context
        else:
            self._tenants.put(trust.ca_digest, context, weight=len(trust.ca_bundle))
        return context


class _Work:
    """Makes a context, and measures the CPU that this takes."""

    def __init__(self, ca_bundle: str | None) -> None:
        self._ca_bundle = ca_bundle
        self._seconds = 0.0

    def __call__(self) -> MeteredContext:
        start = time.thread_time()
        try:
            return make_context(self._ca_bundle)
        finally:
            self._seconds = time.thread_time() - start

    def pause(self) -> float:
        """Return for how many seconds the tenant must wait afterwards."""
        return self._seconds / CPU_SHARE - self._seconds


def make_context(ca_bundle: str | None) -> MeteredContext:
    """Return a context that trusts the CA bundle, or the system's CAs.

    Raises:
        ValueError: The CA bundle cannot be used; the message says why, and quotes nothing.
    """
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


def _load(context: MeteredContext, text: str) -> None:
    check_ca_bundle(text)
    try:
        # Comments between the certificates may be in any language; OpenSSL takes ASCII only.
        context.load_verify_locations(cadata=text.encode("ascii", "replace").decode())
    except ssl.SSLError:
        raise ValueError("holds a certificate that cannot be read") from None
