"""Runs kopf, which lists and watches the BusinessEncryptionKeys, and observes its watch.

Only `on.event` is used: kopf's other handlers would put finalizers or annotations on the objects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any, Final

import aiohttp
import kopf

from bek_operator.cluster.client import Access
from bek_operator.cluster.objects import GROUP, PLURAL, VERSION
from bek_operator.times import Clock

EventHandler = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the type of an event, `None` for an object that was listed, and the object as it was received."""

NO_FINALIZER: Final = "none of ours"
"""Kopf's finalizer: a name that the API server refuses. Kopf tries to remove it from each object that has it, for every
event of the object, though RBAC forbids that."""

_END_SECONDS: Final = 10.0
_NONE: Final = "metadata.name=none."
"""A field selector that no object matches, because a name cannot end with a dot."""


class WatchEnded(Exception):
    """Kopf cannot be stopped, so that it cannot be restarted either; the message is our own."""


class Stream:
    """Observes kopf's watch, as a middleware of its HTTP session; kopf itself does not report what happens to it.

    Args:
        paths: The paths that kopf lists and watches.
        listed: Called when one of them is listed, before it is watched from there on: what is there, and what has gone
            since, is to be found out by whoever wants to know. The list that kopf gets is empty, because it would have
            pages of whole objects in memory.
        clock: Returns the time.

    Attributes:
        heard_at: When the API server last responded to a request for objects; `None` if it never did.
        gone: Set when the resource does not exist (any more).
    """

    def __init__(self, paths: Iterable[str], listed: Callable[[], None], clock: Clock) -> None:
        self._watches: dict[str, aiohttp.ClientResponse | None] = dict.fromkeys(paths)
        self._listed = listed
        self._clock = clock
        self.heard_at: float | None = None
        self.gone = asyncio.Event()

    def is_open(self) -> bool:
        """Return whether there is an open watch for every path."""
        return all(watch and not watch.closed for watch in self._watches.values())

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and observe the status of its response."""
        # The server's URL may have a path prefix.
        path = next((path for path in self._watches if request.url.path.endswith(path)), None)
        is_list = path is not None and "watch" not in request.url.query
        if is_list:
            request.url = request.url.update_query(fieldSelector=_NONE)
        response = await handler(request)
        if path and response.status == HTTPStatus.NOT_FOUND:
            # Kopf would end with several tracebacks; so it waits here until it is cancelled.
            response.close()
            self.gone.set()
            await asyncio.Event().wait()
        if path and response.ok:
            self.heard_at = self._clock()
            if is_list:
                self._listed()
            else:
                self._watches[path] = response
        return response


async def run_kopf(
    stream: Stream,
    on_event: EventHandler,
    access: Callable[[], Awaitable[Access]],
    namespaces: Sequence[str],
    restore_signals: Callable[[], None],
    *,
    selector: str = "",
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
    login_seconds: float = 5.0,
) -> None:
    """Run kopf until cancelled, or until it ends by itself; it can be run again afterwards.

    Args:
        stream: Observes its requests.
        on_event: Called for each event.
        access: Returns credentials.
        namespaces: The namespaces to watch; all of them when empty.
        selector: Label selector of the objects to watch; empty for every object.
        middlewares: Called for each of its requests, after `stream`.
        restore_signals: Called after kopf has replaced our handlers of SIGINT and SIGTERM.
        login_seconds: Minimum seconds between two logins, in case the server refuses the credentials.

    Raises:
        WatchEnded: kopf cannot be stopped.
        Exception: a failure of kopf, such as an error that the API server sent on the watch.
    """
    session: aiohttp.ClientSession | None = None
    earliest = 0.0
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def login(**_: Any) -> kopf.AiohttpSession:
        nonlocal session, earliest
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, earliest - loop.time()))
        earliest = loop.time() + login_seconds
        fresh = await access()
        if session:
            await session.close()
        session = _session(fresh, [stream, *middlewares])
        return kopf.AiohttpSession(server=fresh.server, aiohttp_session=session, expiration=fresh.expires)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="event")
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        on_event(event["type"], event["object"])

    # Not kopf.operator(), which cancels all tasks that were created after it, including those of others.
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(selector),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
    )
    restore_signals()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)
        if session:
            await session.close()


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=_END_SECONDS)
    if left:
        raise WatchEnded("the watch on BusinessEncryptionKeys cannot be restarted: kopf did not stop in time")


def _session(access: Access, middlewares: Sequence[aiohttp.ClientMiddlewareType]) -> aiohttp.ClientSession:
    authorization = " ".join(filter(None, (access.scheme, access.token)))
    return aiohttp.ClientSession(
        # Unlimited: each watched namespace holds a connection.
        connector=aiohttp.TCPConnector(limit=0, ssl=access.context),
        headers={"Authorization": authorization} if authorization else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        middlewares=middlewares,
    )


def _settings(selector: str) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # By default kopf kills the process some time after its tasks were cancelled.
    settings.process.ultimate_exiting_timeout = None
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _EndlessBackoff()
    if selector:
        # The API server applies it: an object that a change of its labels takes out of it is reported as DELETED.
        settings.watching.label_selectors[GROUP, VERSION, PLURAL] = selector
    # Until then the last event of an object stays in memory, up to ten megabytes of it.
    settings.queueing.idle_timeout = 0.1
    settings.persistence.finalizer = NO_FINALIZER
    # Nothing is stored on objects; the prefix only matters if that changes.
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = _NoDifferences()
    return settings


class _EndlessBackoff:
    """Endless back-off: by default kopf ends when the API server is unavailable for a minute."""

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 2.0, 4.0, 8.0), repeat(15.0))


class _NoDifferences(kopf.DiffBaseStorage):
    """Disables kopf's comparison of objects, which copies each object for every event."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[object] | None = None) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        del body, patch, essence
