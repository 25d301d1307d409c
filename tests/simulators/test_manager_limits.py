"""A thousand numbers behind one token, and an API that counts: the real budgets and the simulator, in virtual time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys
from support.builders import TOKEN_SECRET, cloud, spec_body
from support.fakes import now, numbers
from support.simulators.cloud import Cloud
from support.simulators.in_process import InProcessClient
from support.virtual_time import virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

HOUR, DAY = 3600.0, 86400.0
OLD, NEW = keys.rsa(), keys.rsa("second")
COUNT, OBJECTS = 1000, 20


class Town(World):
    """A thousand numbers of one business at the Cloud API, in twenty objects."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Cloud(numbers(COUNT))
        self.api.clock = asyncio.get_running_loop().time
        self.line = InProcessClient(self.api)
        self.secrets.put(TOKEN_SECRET, token=self.api.token().text)
        share = COUNT // OBJECTS
        self.refs = [self._create(index, numbers(COUNT)[index * share :][:share]) for index in range(OBJECTS)]
        rate_limiters = RateLimiters()
        speaker = CloudBackend(self.line, rate_limiters, now)
        self.backend = self.limits = Backends(self.phones, speaker, rate_limiters, per_host=8)

    def _create(self, index: int, listed: list[str]) -> ObjectKey:
        entries = [{"phoneNumber": one, "phoneNumberID": self.api[one].id} for one in listed]
        return self.objects.create(f"flows-{index}", spec_body(apis=[cloud()], phoneNumbers=entries))

    def hold(self, pair: keys.KeyPair) -> None:
        """Have all numbers hold a key, as if it had been published to them before."""
        for one in self.api.numbers.values():
            one.overwrite(pair.public)

    async def until_all(self, pair: keys.KeyPair, seconds: float) -> None:
        """Wait until every object is ready with a key."""
        for ref in self.refs:
            await self.until_signed_with(ref, pair, seconds)
        assert all(one.holds(pair.public) for one in self.api.numbers.values())

    def calls(self, since: float, method: str = "") -> list[float]:
        """Return when calls were made."""
        return [at for at, kind, _ in self.line.calls if at >= since and method in {"", kind}]


@virtual_time
async def test_with_5000_calls_an_hour_a_rotation_meets_no_refusal() -> None:
    """All numbers have the new key within a minute, though they are checked each hour as well."""
    town = Town()
    town.hold(OLD)
    limit = town.api.limit(5000)
    async with town.operator():
        await town.until_all(OLD, 60)
        await asyncio.sleep(1.2 * HOUR)
        assert len(town.calls(0.0)) > 1.9 * COUNT
        began = now()
        town.secrets.put_key(NEW)
        await town.until_all(NEW, 60)
    assert limit.refused == 0
    assert len(town.calls(began, "POST")) == COUNT
    assert len(town.calls(began)) <= 3.1 * COUNT


@virtual_time
async def test_a_first_publication_of_a_thousand_numbers_meets_no_refusal() -> None:
    """Where nothing is known of the limit yet it is found out with a few calls at once, then with many."""
    town = Town()
    limit = town.api.limit(5000)
    async with town.operator():
        await town.until_all(OLD, 60)
    assert (limit.refused, len(town.line.calls)) == (0, 3 * COUNT)


@virtual_time
async def test_with_200_calls_an_hour_a_day_goes_by_without_refusal() -> None:
    """Checks are made as often as that allows; a new key waits for none of them, and reaches every number."""
    town = Town()
    town.hold(OLD)
    async with town.operator():
        await town.until_all(OLD, 60)
    limit = town.api.limit(200, window="hourly")
    town.line.calls.clear()
    start = now()
    async with town.operator():
        await asyncio.sleep(3 * HOUR)
        assert 100 < len(town.calls(now() - HOUR)) <= 200
        began = now()
        town.secrets.put_key(NEW)
        await town.until_all(NEW, 18 * HOUR)
        took = now() - began
        of_number: dict[str, list[float]] = defaultdict(list)
        for at, _, identity in town.line.calls:
            if began + 60 <= at < began + took - 120:
                of_number[identity].append(at)
        assert max(len(calls) for calls in of_number.values()) <= 3
        assert all(calls[-1] - calls[0] < 60 for calls in of_number.values())
        await asyncio.sleep(start + DAY - now())
        assert 100 < len(town.calls(now() - HOUR)) <= 200
    assert limit.refused == 0
    assert len(town.calls(0.0, "POST")) == COUNT
