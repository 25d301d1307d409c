"""Observes the requests to the API server: whether it answers, and when each watch last delivered something."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, NoReturn

import aiohttp

from bek_operator.cluster.errors import ClusterError
from bek_operator.times import Clock

AWAY_SECONDS: Final = 90.0
"""An API server that answers nothing for longer is away: the Lease is asked for more often, and bookmarks come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is known of the requests to the API server; instants are in seconds of one clock.

    Attributes:
        away_seconds: After how long without an answer it is away.
        answered_at: When it last answered a request, or a watch delivered something.
        answering_since: When it answered first after it was away.
        delivered_at: When each watch, by its path, last delivered an event or a bookmark, or was first requested.
    """

    away_seconds: float = AWAY_SECONDS
    answered_at: float = -math.inf
    answering_since: float = -math.inf
    delivered_at: Mapping[str, float] = field(default_factory=dict)

    def is_away(self, now: float) -> bool:
        """Return whether the API server answers nothing."""
        return now - self.answered_at > self.away_seconds

    def answered(self, now: float) -> "Traffic":
        """Return what is known after an answer."""
        return replace(self, answered_at=now, answering_since=now if self.is_away(now) else self.answering_since)

    def delivered(self, path: str, now: float) -> "Traffic":
        """Return what is known after an event or a bookmark."""
        return replace(self.answered(now), delivered_at={**self.delivered_at, path: now})

    def requested(self, path: str, now: float) -> "Traffic":
        """Return what is known after a watch was requested, once more perhaps."""
        return replace(self, delivered_at={path: now, **self.delivered_at})

    def refused(self, path: str) -> "Traffic":
        """Return what is known after the API server refused a path: there is nothing to wait for."""
        return replace(self, delivered_at={one: at for one, at in self.delivered_at.items() if one != path})


class Observer:
    """Observes requests, as a middleware of HTTP sessions.

    Of a watch it compares how many bytes have come whenever somebody asks, so that nothing stands in their way.
    """

    def __init__(self, clock: Clock, away_seconds: float = AWAY_SECONDS) -> None:
        self._clock = clock
        self._traffic = Traffic(away_seconds=away_seconds)
        self._bodies: dict[str, tuple[aiohttp.StreamReader, int]] = {}

    async def ask_when_quiet(self, ask: Callable[[], Awaitable[object]]) -> NoReturn:
        """Send a request whenever nothing was answered for a while, until cancelled.

        Without leader election and a watch on Secrets there may be no other request for minutes, so that nobody could
        tell a watch that is lost from an API server that is away.
        """
        seconds = self._traffic.away_seconds / 3
        while True:
            await asyncio.sleep(seconds)
            if self._clock() - self.traffic().answered_at >= seconds:
                with suppress(ClusterError):
                    await ask()

    def traffic(self) -> Traffic:
        """Return what is known now."""
        for path, (body, seen) in self._bodies.items():
            if body.total_bytes > seen:
                self._bodies[path] = body, body.total_bytes
                self._traffic = self._traffic.delivered(path, self._clock())
        return self._traffic

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and observe its response."""
        path, is_watch = request.url.path, "watch" in request.url.query
        if is_watch:
            self._traffic = self.traffic().requested(path, self._clock())
        response = await handler(request)
        if response.ok and is_watch:
            self.traffic()
            self._bodies[path] = response.content, 0
        elif response.ok:
            self._traffic = self._traffic.answered(self._clock())
        elif response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._bodies.pop(path, None)
            self._traffic = self._traffic.answered(self._clock()).refused(path)
        return response
