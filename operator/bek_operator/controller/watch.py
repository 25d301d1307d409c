"""Watch: kopf lists and follows the BusinessEncryptionKeys, and every event is but a hint.

Only `on.event` is used: kopf's other handlers would put finalizers or annotations on the objects.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import kopf

from bek_operator.cluster.client import Access
from bek_operator.cluster.objects import GROUP, PLURAL, VERSION

Hint = Callable[[str, str, str], None]
"""Takes namespace, name and resourceVersion; the latter is empty for an object that is gone."""


class _Patience:
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


async def watch_objects(
    hint: Hint,
    access: Callable[[], Awaitable[Access]],
    namespaces: Sequence[str],
    stop: asyncio.Event,
    at_end: Callable[[], Awaitable[None]],
) -> None:
    """Run kopf until `stop` is set or a signal ends the process; raises what ended it otherwise.

    `at_end` is called when the streams have ended. It has to end every task that was started after kopf, which
    would otherwise wait five seconds for what it takes for its own.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry, id="settings")
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.peering.standalone = True
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.networking.request_timeout = 30
        settings.networking.trust_env = False
        settings.networking.error_backoffs = _Patience()
        settings.watching.chunk_size = 200
        settings.queueing.idle_timeout = 1.0
        # Nothing is stored on objects; should a handler ever do, then under our own name.
        settings.persistence.finalizer = f"{GROUP}/kopf"
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
        settings.persistence.diffbase_storage = _NoDifferences()

    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: Any) -> None:
        await at_end()

    @kopf.on.login(registry=registry, id="access")
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return _connection(await access())

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="hint")
    async def tell(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf names its arguments
        metadata = body["metadata"]
        hint(metadata["namespace"], metadata["name"], "" if type == "DELETED" else metadata["resourceVersion"])

    await kopf.operator(
        registry=registry, clusterwide=not namespaces, namespaces=namespaces, standalone=True, stop_flag=stop
    )


@dataclass(frozen=True, kw_only=True)
class _Connection(kopf.ConnectionInfo):
    """A connection that trusts what the operator's own client trusts."""

    context: ssl.SSLContext

    def as_ssl_context(self) -> ssl.SSLContext:
        return self.context


def _connection(access: Access) -> kopf.ConnectionInfo:
    return _Connection(
        server=access.server,
        context=access.context,
        scheme=access.scheme,
        token=access.token,
        expiration=access.expires,
    )
