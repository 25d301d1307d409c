"""Idle connections are reused soon or closed."""

import asyncio

from bek_operator.http.pool import IdlePool


class Harness:
    """A pool with a clock that tests set, and a record of what was closed."""

    def __init__(self, *, seconds: float = 4.0, size: int = 10) -> None:
        self.now = 0.0
        self.clock_reads = asyncio.Semaphore(0)
        self.closed: list[str] = []
        self.pool: IdlePool[str, str] = IdlePool(self._close, seconds=seconds, size=size, clock=self._clock)

    def _clock(self) -> float:
        self.clock_reads.release()
        return self.now

    async def _close(self, item: str) -> None:
        self.closed.append(item)


async def test_last_kept_is_taken_first() -> None:
    """Each item of a key is returned once, the last one first; another key's never."""
    harness = Harness()
    for item in ("one", "two"):
        await harness.pool.keep("key", item)
    assert [harness.pool.take(key) for key in ("other", "key", "key", "key")] == [None, "two", "one", None]
    await harness.pool.close()
    assert harness.closed == []


async def test_expired_item_is_not_returned() -> None:
    """Its connection may be closed at the other end."""
    harness = Harness()
    await harness.pool.keep("key", "old")
    harness.now = 4.0
    assert harness.pool.take("key") is None
    await harness.pool.close()
    assert harness.closed == ["old"]


async def test_bounded() -> None:
    """Beyond the size the oldest is closed, whatever its key."""
    harness = Harness(size=2)
    for key, item in (("a", "one"), ("b", "two"), ("a", "three")):
        await harness.pool.keep(key, item)
    assert harness.closed == ["one"]
    assert harness.pool.take("a") == "three"
    await harness.pool.close()
    assert harness.closed == ["one", "two"]


async def test_unexpired_item_is_kept() -> None:
    """It survives the expiry checks before its time."""
    harness = Harness(seconds=0.01)
    await harness.pool.keep("key", "one")
    for _ in range(4):
        await asyncio.wait_for(harness.clock_reads.acquire(), 5)
    assert harness.closed == []
    assert harness.pool.take("key") == "one"
    await harness.pool.close()


async def test_expired_items_are_closed() -> None:
    """They are closed in the background."""
    harness = Harness(seconds=0.01)
    for item in ("one", "two"):
        await harness.pool.keep("key", item)
        async with asyncio.timeout(5):
            while item not in harness.closed:
                harness.now += 0.01
                await asyncio.sleep(0.001)
    await harness.pool.close()
    assert harness.closed == ["one", "two"]
