"""Several writers of one number in virtual time: objects that claim it, somebody else's tools, and who is told what."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cluster.errors import Unavailable
from bek_operator.numbers.endpoints import DEFAULT_CLOUD_VERSION
from support import keys
from support.builders import NOW, TOKEN_SECRET, cloud, identified, spec_body
from support.fakes import now, number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bek_operator.crd.types import ObjectKey

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OURS, THEIRS = keys.rsa(), keys.rsa("theirs")
ONE = number(1)


class Fight(World):
    """A world with one object of one number, and somebody else who writes to it, too."""

    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.ref: ObjectKey = self.objects.create(wanted=spec_body([ONE], **spec))
        self.phone = self.phones[ONE]

    @asynccontextmanager
    async def fought_over(self, seconds: float = MINUTE) -> AsyncIterator[None]:
        """Have the key overwritten again and again meanwhile."""

        async def overwrite() -> None:
            while True:
                await asyncio.sleep(seconds)
                self.phone.overwrite(THEIRS.fingerprint)

        task = asyncio.create_task(overwrite())
        try:
            yield
        finally:
            task.cancel()

    @property
    def published(self) -> list[float]:
        """Return when we published, in seconds since the beginning."""
        return [call.at - NOW for call in self.phones.calls if call.kind == "publish"]

    @property
    def row(self) -> dict[str, Any]:
        """Return the number's row."""
        found: dict[str, Any] = self.objects.status(self.ref)["phoneNumbers"][0]
        return found

    @property
    def conditions(self) -> dict[str, str]:
        """Return the reasons of the object's conditions."""
        return {one["type"]: one["reason"] for one in self.objects.status(self.ref)["conditions"]}


@virtual_time
async def test_a_second_writer_each_minute_sees_three_publishes_in_the_first_hour_and_ever_fewer_later() -> None:
    """The object says who has to find whom; when the other one gives up, the next publish of ours settles it."""
    fight = Fight()
    async with fight.operator(), fight.fought_over():
        await asyncio.sleep(HOUR)
        assert len(fight.published) == 3
        assert fight.conditions == {"Ready": "Contended", "Stalled": "Contended"}
        assert "another client keeps publishing" in fight.row["message"]
        assert fight.row["observedFingerprint"] == THEIRS.fingerprint
        await asyncio.sleep(3 * DAY)
        gaps = [
            round(later - earlier) for earlier, later in zip(fight.published[2:], fight.published[3:], strict=False)
        ]
        assert gaps == sorted(gaps)
        assert [round(gap / HOUR) for gap in gaps] == [1, 2, 4, 8, 16, 24]
    writes = len(fight.objects.writes)
    async with fight.operator():
        await fight.until_ready(fight.ref, DAY)
    assert len(fight.objects.writes) - writes <= 3


@pytest.mark.parametrize("recorded", [True, False], ids=["between two publishes", "before one is on record"])
@virtual_time
async def test_an_operator_that_is_killed_and_restarted_publishes_once_more_at_most(*, recorded: bool) -> None:
    """The status is its memory: what it shows counts, and what it does not show yet is one publish."""
    fight = Fight()
    async with fight.fought_over():
        async with fight.operator():
            await until(lambda: len(fight.published) == 2, HOUR)
            await asyncio.sleep(2)
            if not recorded:
                fight.objects.error = Unavailable("the API server is away")
                await until(lambda: len(fight.published) == 3, HOUR)
        fight.objects.error = None
        for _ in range(6):
            async with fight.operator():
                await asyncio.sleep(5 * MINUTE)
        assert len(fight.published) <= (3 if recorded else 4)
        async with fight.operator():
            await asyncio.sleep(3 * DAY - now() + NOW)
    assert 3 + 5 <= len(fight.published) <= 3 + 6 + 1


@pytest.mark.parametrize("interval", [3600, 86400 // 4], ids=["an hour", "six hours"])
def test_a_rival_between_two_checks_is_not_forgiven(interval: int) -> None:
    """That a number was Signed after our publish does not mean that it was for the hour until the next check."""

    @virtual_time
    async def run() -> None:
        fight = Fight(intervalSeconds=interval)
        async with fight.operator(), fight.fought_over():
            await fight.until_ready(fight.ref)
            await until(lambda: fight.row["reason"] == "Contended", 3 * DAY)
            await asyncio.sleep(7 * DAY)
        assert len(fight.published) <= 3 + 4 + 7

    run()


@virtual_time
async def test_restarts_over_days_of_a_fight_cost_no_publish() -> None:
    """Once it is Contended, an operator that is restarted each ten minutes publishes as rarely as any."""
    fight = Fight()
    async with fight.fought_over():
        async with fight.operator():
            await asyncio.sleep(HOUR)
        for _ in range(6 * 24):
            async with fight.operator():
                await asyncio.sleep(10 * MINUTE)
        assert len(fight.published) <= 3 + 5
        assert fight.conditions["Stalled"] == "Contended"


@virtual_time
async def test_asking_for_a_check_takes_up_the_fight_once() -> None:
    """A person who has found the other writer need not wait for the brake."""
    fight = Fight()
    async with fight.operator():
        async with fight.fought_over():
            await asyncio.sleep(2 * DAY)
        count = len(fight.published)
        fight.objects.request_check(fight.ref, "found them")
        await fight.until_ready(fight.ref, 2)
        assert (len(fight.published), fight.row["publishes"]) == (count + 1, 1)


Trouble = tuple["Callable[[Fight], object]", str, str, str]

LOSSES: dict[str, Trouble] = {
    "NotPublished": (
        lambda fight: fight.phone.overwrite(None),
        "NotPublished",
        "the API no longer held the key of",
        "the API holds no key for this number",
    ),
    "StaleSignature": (
        lambda fight: fight.phone.lose_signature(),
        "StaleSignature",
        "the signature was no longer VALID on",
        "the API holds the key, but its signature is no longer VALID",
    ),
    "ForeignKey": (
        lambda fight: fight.phone.overwrite(THEIRS.fingerprint),
        "ForeignKey",
        "another key had been published to",
        "the API holds another key",
    ),
}


@pytest.mark.parametrize(("befall", "reason", "event", "message"), LOSSES.values(), ids=LOSSES.keys())
@virtual_time
async def test_each_loss_has_its_reason_event_and_message(
    befall: Callable[[Fight], object], reason: str, event: str, message: str
) -> None:
    """Where we publish the event tells what was made good; where we never do, the row and the object tell what is."""
    fight = Fight()
    async with fight.operator():
        await fight.until_ready(fight.ref)
        fight.events.posted.clear()
        befall(fight)
        await until(lambda: fight.events.posted, HOUR)
        assert [(one.reason, one.note, one.warning) for one in fight.events.posted] == [
            (reason, f"{event} {ONE}; published the key again", True)
        ]
        assert len(fight.published) == 2
        assert fight.is_ready(fight.ref)
    fight = Fight(publishPolicy="Never")
    fight.phone.overwrite(OURS.fingerprint)
    async with fight.operator():
        await fight.until_ready(fight.ref)
        befall(fight)
        await until(lambda: fight.conditions == {"Ready": reason, "Stalled": reason}, HOUR)
        await asyncio.sleep(DAY)
        told = f"{message}; publish the Secret's key by other means, or set publishPolicy to IfNeeded"
        assert (fight.row["reason"], fight.row["message"], fight.published) == (reason, told, [])
        assert fight.events.posted[-1].reason == reason
        fight.phone.overwrite(OURS.fingerprint)
        await fight.until_ready(fight.ref, HOUR)


@virtual_time
async def test_a_key_that_is_never_signed_is_told_from_one_that_is_overwritten() -> None:
    """Both are a person's after three publishes, but it is another person's business."""
    told = {}
    for name, others in (("Contended", True), ("SignatureMismatch", False)):
        fight = Fight()
        fight.phone.settles = 0.0 if others else float("inf")
        async with fight.operator():
            if others:
                async with fight.fought_over():
                    await asyncio.sleep(HOUR)
            else:
                await asyncio.sleep(HOUR)
        assert fight.conditions == {"Ready": name, "Stalled": name}
        assert len(fight.published) == 3
        [event] = [one for one in fight.events.posted if one.reason == name]
        told[name] = fight.row["message"]
        assert event.warning
        assert told[name] in event.note
        assert "bek.dev/requested-at" in told[name]
    assert "another client" in told["Contended"]
    assert "registration" in told["SignatureMismatch"]


@virtual_time
async def test_a_wrong_key_everywhere_is_replaced() -> None:
    """Somebody signed all numbers with a key of theirs: each gets ours back, and few events name them all."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(12)))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(MINUTE)
        for one in numbers(12):
            world.phones[one].overwrite(THEIRS.fingerprint)
        world.phones.calls.clear()
        world.events.posted.clear()
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.count("publish") == 12, 5)
        await asyncio.sleep(2)
        assert world.is_ready(ref)
    assert {one.reason for one in world.events.posted if one.warning} == {"ForeignKey"}
    assert len(world.events.posted) <= 4


class Rivals(World):
    """Two objects that claim one number of the Cloud API by one id, each in its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets.put(TOKEN_SECRET, token="EAAG")
        self.secrets.put("b-token", token="EAAG-b")
        others: dict[str, Any] = {"version": "v24.0", "tokenSecretRef": {"name": "b-token", "key": "token"}}
        self.specs = {
            "older": spec_body(apis=[cloud()], phoneNumbers=[identified(ONE, "7"), identified(number(2), "8")]),
            "younger": spec_body(apis=[cloud(**others)], phoneNumbers=[identified(number(9), "7")]),
        }
        self.phones.join("https://graph.example.com/v24.0/7", f"https://graph.example.com/{DEFAULT_CLOUD_VERSION}/7")
        self.younger = self.objects.create("younger", self.specs["younger"], created=60.0)
        self.older = self.objects.create("older", self.specs["older"])

    def calls(self, version: str) -> int:
        """Return how many calls were made with the version of one of them."""
        return sum(f"/{version}/7" in call.url for call in self.phones.calls)

    @property
    def lost(self) -> bool:
        """Whether the younger one has stepped back, and says for whom."""
        [row] = self.objects.status(self.younger)["phoneNumbers"]
        return row["reason"] == "DuplicateNumber" and "older BusinessEncryptionKey older;" in row["message"]


@virtual_time
async def test_of_two_objects_the_older_one_has_the_number_whatever_it_is_called_with() -> None:
    """Version, token and number may differ: the id counts, and the younger object calls nobody."""
    world = Rivals()
    async with world.operator():
        await world.until_ready(world.older)
        await until(lambda: world.lost, 2)
        await asyncio.sleep(DAY)
        assert world.calls("v24.0") == 0
        assert world.objects.ready(world.younger) == ("False", "DuplicateNumber")
    writes = len(world.objects.writes)
    async with world.operator():
        await asyncio.sleep(HOUR)
    assert (world.calls("v24.0"), len(world.objects.writes)) == (0, writes)


LETTING_GO: dict[str, Callable[[Rivals], object]] = {
    "deleted": lambda world: world.objects.delete(world.older),
    "suspended": lambda world: world.objects.edit(world.older, suspend=True),
    "never publishes": lambda world: world.objects.edit(world.older, publishPolicy="Never"),
    "lists another number": lambda world: world.objects.edit(world.older, phoneNumbers=[identified(number(2), "8")]),
    "moves the number": lambda world: world.objects.edit(
        world.older, phoneNumbers=[identified(ONE, "9"), identified(number(2), "8")]
    ),
}


@pytest.mark.parametrize("let_go", LETTING_GO.values(), ids=LETTING_GO.keys())
@virtual_time
async def test_a_number_that_is_let_go_is_taken_over(let_go: Callable[[Rivals], object]) -> None:
    """Within a second, and without a publish where it holds the key already; what comes back takes it again."""
    world = Rivals()
    async with world.operator():
        await world.until_ready(world.older)
        await until(lambda: world.lost, 2)
        let_go(world)
        await world.until_ready(world.younger, 2)
        assert world.calls("v24.0") == 1
        if world.older in [found.ref async for found in world.objects.list()]:
            world.objects.edit(world.older, **world.specs["older"], suspend=False, publishPolicy="IfNeeded")
        else:
            world.objects.create("older", world.specs["older"])
        await until(lambda: world.lost, 2)
        await world.until_ready(world.older, 2)
    assert world.phones.count("publish") <= 3
