"""A client that sends requests through the proxy, except those to Services of the cluster."""

from collections.abc import Mapping
from typing import Literal

from bek_operator.http.interface import HttpClient, Response
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url

_SERVICES = (".svc", ".svc.cluster.local")


class ProxyRoutes:
    """Uses the direct client for cluster Services, which a proxy cannot resolve, and the proxied one otherwise."""

    def __init__(self, direct: HttpClient, proxied: HttpClient) -> None:
        self._direct = direct
        self._proxied = proxied

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        trust: ServerTrust,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Send one request and return the whole response; see `HttpClient`."""
        client = self._direct if url.host.endswith(_SERVICES) else self._proxied
        return await client.request(method, url, trust, headers=headers, query=query, content=content)

    async def close(self) -> None:
        """Close the connections of both clients."""
        await self._proxied.close()
        await self._direct.close()
