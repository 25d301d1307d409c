"""The leader's client: it sends no write once this process is not the leader any more."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bek_operator.cluster.errors import NotLeader
from bek_operator.cluster.response import MOST_BYTES


class Requests(Protocol):
    """What sends requests to the API server."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object of the response.

        Raises:
            ClusterError: the request failed; `TooLarge` for a response of more than `most` bytes.
        """
        ...


class LeaderClient:
    """Passes on what reads, and what writes as long as `is_leader` says so."""

    def __init__(self, client: Requests, is_leader: Callable[[], bool]) -> None:
        self._client = client
        self._is_leader = is_leader

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
    ) -> dict[str, Any]:
        """Send a request, see `Requests`.

        Raises:
            NotLeader: it is a write, and another process may be the leader by now.
        """
        if method != "GET" and not self._is_leader():
            raise NotLeader(f"{method} {path}: not sent, another process may be the leader by now")
        return await self._client.request(method, path, query=query, body=body, headers=headers, most=most)
