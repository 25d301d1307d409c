"""One run of kopf, which lists and watches the BusinessEncryptionKeys, and what can be seen of its watch.

Only `on.event` is used: kopf's other handlers would put finalizers or annotations on the objects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any, Final

import aiohttp
import kopf

from bek_operator.cluster.client import Access
from bek_operator.cluster.objects import GROUP, PLURAL, VERSION
from bek_operator.controller.clock import Clock

EventHandler = Callable[[str, str, str], None]
"""Takes namespace, name and resourceVersion; the latter is empty for an object that is gone."""

_END_SECONDS: Final = 10.0


class KopfError(Exception):
    """Kopf does what it never should; the message holds our own words."""


class Stream:
    """Whether kopf's watch is open, by the requests that it makes: a middleware of its HTTP session.

    Kopf itself tells nobody. Where its discovery does not name our resource it asks for nothing, and goes on.

    Attributes:
        heard_at: When the API server last answered a request for objects; `None` if it never did.
        gone: Set when the API server does not know the resource (any more).
    """

    def __init__(self, paths: Iterable[str], clock: Clock) -> None:
        self._watches: dict[str, aiohttp.ClientResponse | None] = dict.fromkeys(paths)
        self._clock = clock
        self.heard_at: float | None = None
        self.gone = asyncio.Event()

    def is_open(self) -> bool:
        """Return whether there is a watch for every path at this moment."""
        return all(watch and not watch.closed for watch in self._watches.values())

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and look at the status of what comes back."""
        response = await handler(request)
        # The server's URL may have a path of its own before ours.
        path = next((path for path in self._watches if request.url.path.endswith(path)), None)
        if path and response.status == HTTPStatus.NOT_FOUND:
            # Kopf would end with a page of tracebacks for it; so it waits here until whoever runs it ends it.
            response.close()
            self.gone.set()
            await asyncio.Event().wait()
        if path and response.ok:
            self.heard_at = self._clock()
            if "watch" in request.url.query:
                self._watches[path] = response
        return response


async def run_kopf(
    stream: Stream,
    on_event: EventHandler,
    access: Callable[[], Awaitable[Access]],
    namespaces: Sequence[str],
    keep_signals: Callable[[], None],
    login_seconds: float = 5.0,
) -> None:
    """Run kopf until cancelled; it can be run again afterwards.

    Args:
        stream: Looks at its requests.
        on_event: Called for each event.
        access: Returns credentials.
        namespaces: The namespaces to watch; all of them when empty.
        keep_signals: Called when kopf has put its own handlers of SIGINT and SIGTERM in the place of ours.
        login_seconds: The shortest time between two sets of credentials: a server that refuses them is not asked on
            and on.

    Raises:
        KopfError: kopf ended by itself, or doesn't end.
        Exception: what ended kopf otherwise.
    """
    session: aiohttp.ClientSession | None = None
    earliest = 0.0
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="access")
    async def login(**_: Any) -> kopf.AiohttpSession:
        nonlocal session, earliest
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, earliest - loop.time()))
        earliest = loop.time() + login_seconds
        fresh = await access()
        if session:
            await session.close()
        session = _session(fresh, stream)
        return kopf.AiohttpSession(server=fresh.server, aiohttp_session=session, expiration=fresh.expires)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="event")
    async def tell(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf names its arguments
        metadata = body["metadata"]
        on_event(metadata["namespace"], metadata["name"], "" if type == "DELETED" else metadata["resourceVersion"])

    # Not kopf.operator(): it takes all tasks that were begun after it for its own, and cancels them at its end.
    tasks = await kopf.spawn_tasks(
        registry=registry, settings=_settings(), clusterwide=not namespaces, namespaces=namespaces, standalone=True
    )
    keep_signals()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise KopfError("kopf has ended by itself")
    finally:
        await _end(tasks)
        if session:
            await session.close()


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=_END_SECONDS)
    if left:
        raise KopfError("kopf does not end")


def _session(access: Access, stream: Stream) -> aiohttp.ClientSession:
    authorization = " ".join(filter(None, (access.scheme, access.token)))
    return aiohttp.ClientSession(
        # Each namespace that is watched holds a connection.
        connector=aiohttp.TCPConnector(limit=0, ssl=access.context),
        headers={"Authorization": authorization} if authorization else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        middlewares=[stream],
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Otherwise kopf kills the whole process so long after its tasks were cancelled.
    settings.process.ultimate_exiting_timeout = None
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _EndlessBackoff()
    settings.watching.chunk_size = 200
    settings.queueing.idle_timeout = 1.0
    # Nothing is stored on objects; should a handler ever do, then under our own name.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = _NoDifferences()
    return settings


class _EndlessBackoff:
    """Pauses without end: kopf would give up on an API server that is away for a minute, and end the process."""

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 2.0, 4.0, 8.0), repeat(15.0))


class _NoDifferences(kopf.DiffBaseStorage):
    """Nothing to compare: kopf would copy each object whole for every event, only to look for changes."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[object] | None = None) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        del body, patch, essence
