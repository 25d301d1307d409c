"""What is idle is used again soon or closed."""

import asyncio

from bek_operator.http.pool import IdlePool


class Bench:
    """Somewhere to keep things, with a clock and a record of what was closed."""

    def __init__(self, *, seconds: float = 4.0, size: int = 10) -> None:
        self.now = 0.0
        self.looked = asyncio.Semaphore(0)
        self.closed: list[str] = []
        self.idle: IdlePool[str, str] = IdlePool(self._close, seconds=seconds, size=size, clock=self._clock)

    def _clock(self) -> float:
        self.looked.release()
        return self.now

    async def _close(self, thing: str) -> None:
        self.closed.append(thing)


async def test_last_kept_is_taken_first() -> None:
    """A key's things come back once each, the warmest first; another key's never."""
    bench = Bench()
    for thing in ("one", "two"):
        await bench.idle.keep("lane", thing)
    assert [bench.idle.take(key) for key in ("other", "lane", "lane", "lane")] == [None, "two", "one", None]
    await bench.idle.close()
    assert bench.closed == []


async def test_too_old() -> None:
    """A thing that waited for too long is not handed out."""
    bench = Bench()
    await bench.idle.keep("lane", "old")
    bench.now = 4.0
    assert bench.idle.take("lane") is None
    await bench.idle.close()
    assert bench.closed == ["old"]


async def test_bounded() -> None:
    """Beyond the bound the oldest is closed, whatever its key."""
    bench = Bench(size=2)
    for key, thing in (("a", "one"), ("b", "two"), ("a", "three")):
        await bench.idle.keep(key, thing)
    assert bench.closed == ["one"]
    assert bench.idle.take("a") == "three"
    await bench.idle.close()
    assert bench.closed == ["one", "two"]


async def test_not_swept_early() -> None:
    """What is not due yet survives the sweeps until then."""
    bench = Bench(seconds=0.01)
    await bench.idle.keep("lane", "one")
    for _ in range(4):
        await asyncio.wait_for(bench.looked.acquire(), 5)
    assert bench.closed == []
    assert bench.idle.take("lane") == "one"
    await bench.idle.close()


async def test_swept() -> None:
    """What nobody takes is closed without anybody asking, again and again."""
    bench = Bench(seconds=0.01)
    for thing in ("one", "two"):
        await bench.idle.keep("lane", thing)
        async with asyncio.timeout(5):
            while thing not in bench.closed:
                bench.now += 0.01
                await asyncio.sleep(0.001)
    await bench.idle.close()
    assert bench.closed == ["one", "two"]
