"""The cache of Secrets: who shares a read, who does not, and for how long anything is kept."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from bek_operator.cluster.errors import Forbidden, Unavailable
from bek_operator.cluster.secrets import SecretContent
from bek_operator.controller.secret_cache import SecretCache
from bek_operator.numbers.endpoints import Missing
from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, NAMESPACE
from support.fakes import FakeSecrets, unavailable
from support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Mapping


WANTED = {"public.pem": 4096, "ca.crt": 1024 * 1024}


class Scene:
    """A cache over Secrets, and the sequence of what happens."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.secrets = FakeSecrets()
        self.secrets.put_key(keys.rsa())
        self.secrets.seconds = seconds
        self.now = 1
        self.cache = SecretCache(self.secrets, lambda: self.now)

    async def read(self, since: int = 1, name: str = KEY_SECRET) -> SecretContent | Missing:
        """Read a Secret."""
        (found,) = (await self.cache.read(NAMESPACE, {name: WANTED}, since=since)).values()
        return found

    @property
    def reads(self) -> int:
        """Return how often the API server was asked."""
        return len(self.secrets.reads)


class Fresh:
    """A source of a Secret that keeps nothing of it."""

    async def read(self, namespace: str, name: str, wanted: Mapping[str, int]) -> SecretContent | None:
        """Return a Secret."""
        del wanted
        return SecretContent("1", {name: namespace.encode()}, ("of this source alone",))


def kept() -> int:
    """Return how many contents of that source are in memory."""
    gc.collect()
    return sum(isinstance(one, SecretContent) and one.writers == ("of this source alone",) for one in gc.get_objects())


@virtual_time
async def test_a_thousand_objects_share_one_read() -> None:
    """Those that ask while it is under way, and those that ask a moment later."""
    scene = Scene()
    found = await asyncio.gather(*(scene.read() for _ in range(1000)))
    assert all(one is found[0] for one in found)
    await asyncio.sleep(1)
    assert await scene.read() is found[0]
    assert scene.reads == 1


@virtual_time
async def test_a_read_that_began_too_early_does_not_do() -> None:
    """Neither while it is under way nor afterwards: what has happened since may have changed the Secret."""
    scene = Scene()
    first = asyncio.create_task(scene.read())
    await asyncio.sleep(0.01)
    scene.now = 2
    scene.secrets.put_key(keys.rsa("second"))
    late = await scene.read(since=2)
    assert late is not await first
    assert await scene.read() is late
    scene.now = 3
    await scene.read(since=3)
    assert scene.reads == 3


@virtual_time
async def test_nothing_is_kept_for_longer_than_it_is_waited_for() -> None:
    """Key material least of all."""
    cache = SecretCache(Fresh(), lambda: 1)
    for _ in range(2):
        await cache.read(NAMESPACE, {KEY_SECRET: WANTED, LOGIN_SECRET: WANTED}, since=1)
        assert kept() == 2
    await asyncio.sleep(6)
    assert kept() == 0


@virtual_time
async def test_what_is_kept_is_bounded() -> None:
    """Large Secrets are shared while they are read, and no longer; small ones find room again when others have gone."""
    scene = Scene()
    for name in ("a", "b", "c"):
        scene.secrets.put(name, **{"ca.crt": "x" * 900_000})
    for _ in range(2):
        for name in ("a", "b", "c"):
            await asyncio.gather(scene.read(name=name), scene.read(name=name))
    assert scene.secrets.reads == ["a", "b", "c", "c"]
    await asyncio.sleep(6)
    await scene.read(name="c")
    await scene.read(name="c")
    assert scene.secrets.reads[4:] == ["c"]


@virtual_time
async def test_what_a_read_did_not_find_is_shared_and_its_failure_is_not_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A Secret that is missing or forbidden is an answer; an API server that does not answer is asked again."""
    scene = Scene()
    assert {*await asyncio.gather(scene.read(name="none"), scene.read(name="none"))} == {Missing.ABSENT}
    scene.secrets.forbidden = {KEY_SECRET}
    assert {*await asyncio.gather(scene.read(), scene.read())} == {Missing.FORBIDDEN}
    assert [record.getMessage() for record in caplog.records] == [f"cannot read a Secret: {Forbidden('not for us')}"]
    scene.now = 2
    scene.secrets.forbidden, scene.secrets.error = set(), unavailable()
    failed = await asyncio.gather(scene.read(2), scene.read(2), return_exceptions=True)
    assert [type(one) for one in failed] == [Unavailable] * 2
    scene.secrets.error = None
    assert isinstance(await scene.read(2), SecretContent)
    assert scene.reads == 4


@virtual_time
async def test_one_who_gives_up_leaves_the_read_to_the_others() -> None:
    """An end cancels it for all, and leaves nothing behind."""
    scene = Scene(seconds=1.0)
    one, other = asyncio.create_task(scene.read()), asyncio.create_task(scene.read())
    await asyncio.sleep(0.5)
    one.cancel()
    assert isinstance(await other, SecretContent)
    scene.now = 2
    last = asyncio.create_task(scene.read(2))
    await asyncio.sleep(0.5)
    await scene.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await last
    assert (scene.cache._reads, scene.cache._running) == ({}, set())
