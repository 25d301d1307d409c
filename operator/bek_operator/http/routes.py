"""A client that sends requests through the proxy, except those to Services of the cluster."""

from bek_operator.http.interface import HttpClient, Request, Response

_SERVICES = (".svc", ".svc.cluster.local")


class ProxyRoutes:
    """Uses the direct client for cluster Services, which a proxy cannot resolve, and the proxied one otherwise."""

    def __init__(self, direct: HttpClient, proxied: HttpClient) -> None:
        self._direct = direct
        self._proxied = proxied

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response; see `HttpClient`."""
        client = self._direct if request.url.host.endswith(_SERVICES) else self._proxied
        return await client.send(request)

    async def close(self) -> None:
        """Close the connections of both clients."""
        await self._proxied.close()
        await self._direct.close()
