"""Numbers that move from one API to another by an edit of their entry, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.endpoints import DEFAULT_CLOUD_VERSION
from support import keys
from support.builders import (
    NAMESPACE,
    PROVIDER_SECRET,
    REJECTED,
    TOKEN_SECRET,
    cloud,
    failure,
    identified,
    on_premises,
    provider,
    spec_body,
)
from support.cluster.conditions import kstatus
from support.fakes import Phone, now, number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

HOUR, DAY = 3600.0, 86400.0
MOVING = number(2)
APIS = [on_premises(), cloud(), provider(url="https://bsp")]
NOT_REGISTERED = failure(
    Reason.NOT_REGISTERED, "the number is not registered with the Cloud API; register it", retry=REJECTED.retry
)


def listed(at: str) -> list[dict[str, str]]:
    """Return three numbers on the On-Premises API but for the second, which is where it is told to be."""
    return [identified(one, api=at if one == MOVING else "default") for one in numbers(3)]


class Move(World):
    """A world with one object in it, and the three places where its second number may be."""

    def __init__(self, at: str = "default", **spec: Any) -> None:
        super().__init__()
        self.secrets.put(TOKEN_SECRET, token="EAAG")
        self.secrets.put(PROVIDER_SECRET, **{MOVING[1:]: "key"})
        self.ref: ObjectKey = self.objects.create(wanted=spec_body(apis=APIS, phoneNumbers=listed(at), **spec))
        entry = identified(MOVING)
        self.urls = {
            "default": f"https://whatsapp-{MOVING[1:]}.{NAMESPACE}.svc",
            "meta": f"https://graph.example.com/{DEFAULT_CLOUD_VERSION}/{entry['phoneNumberID']}",
            "bsp": f"https://bsp.{NAMESPACE}.svc",
        }

    def there(self, api: str) -> Phone:
        """Return what answers for the moving number at an API."""
        return self.phones.at(self.urls[api])

    def calls(self, api: str) -> list[str]:
        """Return the kinds of calls that were made for the moving number at an API."""
        return [call.kind for call in self.phones.calls if call.url == self.urls[api]]

    def move(self, api: str) -> None:
        """Edit the number's entry, and forget the calls made so far."""
        self.phones.calls.clear()
        self.objects.edit(self.ref, phoneNumbers=listed(api))

    @property
    def row(self) -> dict[str, Any]:
        """Return the moving number's row."""
        found: dict[str, Any] = self.objects.status(self.ref)["phoneNumbers"][1]
        return found

    @property
    def summary(self) -> str:
        """Return what kstatus makes of the object."""
        status = self.objects.status(self.ref)
        return kstatus(status, status["observedGeneration"])


ROUTES = [("default", "meta"), ("meta", "default"), ("meta", "bsp"), ("bsp", "default")]


@pytest.mark.parametrize(("left", "joined"), ROUTES, ids=["to Cloud", "from Cloud", "to a provider", "from a provider"])
@pytest.mark.parametrize("running", [True, False], ids=["at once", "while nobody is there"])
@virtual_time
async def test_a_number_that_moves_is_signed_anew_where_it_goes(left: str, joined: str, *, running: bool) -> None:
    """The side that is left is not called any more, and nothing that was known there is shown for the new one."""
    world = Move(left)
    async with world.operator():
        await world.until_ready(world.ref)
        published = world.row["lastPublishTime"]
        await asyncio.sleep(100)
        if running:
            world.there(joined).failure = failure()
            world.move(joined)
            await until(lambda: world.row["reason"] == "Unreachable", 2)
            assert world.row == {
                "phoneNumber": MOVING,
                "api": joined,
                "reason": "Unreachable",
                "message": "no answer",
            }
            assert world.summary == "InProgress"
            world.there(joined).recover()
            await world.until_ready(world.ref)
    if not running:
        world.move(joined)
        async with world.operator():
            await world.until_ready(world.ref, 2)
    assert world.calls(left) == []
    assert world.calls(joined)[-3:] == ["read", "publish", "read"]
    assert world.calls(joined).count("publish") == 1
    assert (world.row["api"], world.row["publishes"]) == (joined, 1)
    assert world.row["lastPublishTime"] > published
    assert {call.kind for call in world.phones.calls if call.url not in world.urls.values()} <= {"read"}
    assert all(world.phones[one].holds(keys.rsa()) for one in numbers(3) if one != MOVING)


@virtual_time
async def test_until_the_number_is_registered_there_the_status_says_so() -> None:
    """A person is told what is still to do, the others stay signed, and the rest happens without another edit."""
    world = Move()
    async with world.operator():
        await world.until_ready(world.ref)
        world.there("meta").failure = NOT_REGISTERED
        world.move("meta")
        await until(lambda: world.row["reason"] == "NotRegistered", 2)
        assert world.row["message"] == NOT_REGISTERED.message
        assert world.objects.ready(world.ref) == ("False", "NotRegistered")
        assert (world.summary, world.objects.status(world.ref)["signed"]) == ("Failed", "2/3")
        await asyncio.sleep(5 * HOUR)
        assert "publish" not in world.calls("meta")
        # Whoever moves it registers it there, which costs it its signature on the pod that is left behind.
        world.there("default").lose_signature()
        world.there("meta").recover()
        await world.until_ready(world.ref, 1.2 * HOUR)
        assert world.calls("default") == []
        assert world.calls("meta").count("publish") == 1


@virtual_time
async def test_a_number_that_moves_back_is_looked_at_and_repaired() -> None:
    """What was known before it left counts for nothing: it was registered anew, and lost its signature."""
    world = Move()
    async with world.operator():
        await world.until_ready(world.ref)
        world.move("meta")
        await world.until_ready(world.ref)
        world.there("default").lose_signature()
        world.move("default")
        await world.until_ready(world.ref)
        assert world.calls("default") == ["read", "publish", "read"]
        assert world.calls("meta") == []
        world.move("meta")
        await world.until_ready(world.ref)
        assert world.calls("meta") == ["read"]


@virtual_time
async def test_a_publish_under_way_to_the_side_that_is_left_ends_and_counts_for_nothing() -> None:
    """It is not cut off, it is not repeated, and the new side gets the key as if it had never been."""
    world = Move()
    world.there("default").seconds = 5.0
    async with world.operator():
        await until(lambda: world.calls("default") == ["read", "publish"], 8)
        world.move("meta")
        await world.until_ready(world.ref)
        assert (world.row["publishes"], world.calls("default"), world.phones.cut_off) == (1, [], [])
        assert world.calls("meta") == ["read", "publish", "read"]


@virtual_time
async def test_a_read_under_way_on_the_side_that_is_left_is_cut_off() -> None:
    """A pod that is gone already, as it should be after a move, holds up nothing."""
    world = Move()
    async with world.operator():
        await world.until_ready(world.ref)
        world.there("default").hang()
        world.objects.request_check(world.ref, "1")
        await until(lambda: world.phones.under_way, 2)
        began = now()
        world.move("meta")
        await world.until_ready(world.ref, 2)
        assert now() - began < 2


@virtual_time
async def test_a_fight_is_left_behind() -> None:
    """Somebody overwrote the key there for hours: the brake belongs to that place, and is taken up there again."""
    world = Move(intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        for _ in range(20):
            await asyncio.sleep(60)
            world.there("default").overwrite(keys.rsa("foreign").fingerprint)
        assert (world.row["reason"], world.row["publishes"]) == ("Contended", 3)
        world.move("meta")
        await world.until_ready(world.ref, 2)
        assert world.row["publishes"] == 1


@virtual_time
async def test_a_number_whose_token_is_still_to_come_waits_for_it() -> None:
    """Time heals that: the object is in progress, names the Secret, and goes on as soon as it is there."""
    world = Move()
    world.secrets.remove(TOKEN_SECRET)
    async with world.operator():
        await world.until_ready(world.ref)
        world.move("meta")
        await until(lambda: world.row["reason"] == "CredentialsNotFound", 2)
        assert (world.row["message"], world.summary) == (f"Secret {TOKEN_SECRET} does not exist", "InProgress")
        assert world.calls("default") == []
        world.secrets.put(TOKEN_SECRET, token="EAAG")
        await world.until_ready(world.ref, 2)


@virtual_time
async def test_a_new_token_is_used_for_the_next_call_and_nothing_is_published() -> None:
    """One that has expired is replaced in its Secret: each number is read once, and none is taken for another."""
    world = Move("meta")
    async with world.operator():
        await world.until_ready(world.ref)
        world.there("meta").failure = failure(
            Reason.TOKEN_EXPIRED, "the access token has expired", retry=REJECTED.retry
        )
        await until(lambda: world.row["reason"] == "TokenExpired", 1.2 * HOUR)
        assert world.summary == "Failed"
        world.there("meta").recover()
        world.phones.calls.clear()
        world.secrets.put(TOKEN_SECRET, token="EAAG-renewed")
        await world.until_ready(world.ref, 2)
        assert world.calls("meta") == ["read"]


@virtual_time
async def test_an_edit_of_another_number_calls_for_nothing() -> None:
    """One number moves at a time: those that stay are neither read nor published to because of it."""
    world = Move(intervalSeconds=int(DAY))
    async with world.operator():
        await world.until_ready(world.ref)
        world.move("bsp")
        await world.until_ready(world.ref)
        assert {call.url for call in world.phones.calls} == {world.urls["bsp"]}


@virtual_time
async def test_a_number_that_holds_another_key_where_it_goes_is_given_ours() -> None:
    """Whoever set it up there by hand used a key of their own; the other numbers have proved ours long ago."""
    world = Move(rollout={"firstNumber": {"pauseSeconds": 3600}})
    world.there("meta").overwrite(keys.rsa("by hand").fingerprint)
    async with world.operator():
        await world.until_ready(world.ref)
        await asyncio.sleep(3600)
        world.move("meta")
        await world.until_ready(world.ref, 2)
        assert world.there("meta").holds(keys.rsa())
