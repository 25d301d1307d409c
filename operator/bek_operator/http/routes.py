"""Routes: what goes through the proxy, and what does not."""

from collections.abc import Mapping
from typing import Literal

from bek_operator.http.exchange import HttpClient, Response
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url

_SERVICES = (".svc", ".svc.cluster.local")


class Routes:
    """A caller that goes through the proxy, but to Services of the cluster, which no proxy knows, directly."""

    def __init__(self, direct: HttpClient, proxied: HttpClient) -> None:
        self._direct = direct
        self._proxied = proxied

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        trust: Trust,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Send one request and return the whole answer; see `Caller`."""
        way = self._direct if url.host.endswith(_SERVICES) else self._proxied
        return await way.request(method, url, trust, headers=headers, query=query, content=content)

    async def close(self) -> None:
        """End every connection, of both ways."""
        await self._proxied.close()
        await self._direct.close()
