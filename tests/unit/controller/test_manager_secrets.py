"""How a manager handles Secrets that disappear and come back: the status shows it at once, without calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.builders import (
    KEY_SECRET,
    LOGIN_SECRET,
    PROVIDER_SECRET,
    TOKEN_SECRET,
    cloud,
    identified,
    provider,
    spec_body,
)
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import READY, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDS_TO_TELL = 5.0
COUNT = 20

AWAY: dict[str, tuple[dict[str, Any], Callable[[World], None], str, str]] = {
    "a login's Secret": (
        spec_body(numbers(COUNT)),
        lambda world: world.secrets.remove(LOGIN_SECRET),
        "CredentialsNotFound",
        f"Secret {LOGIN_SECRET} does not exist",
    ),
    "a login's entry": (
        spec_body(numbers(COUNT)),
        lambda world: world.secrets.put(LOGIN_SECRET, username="admin"),
        "CredentialsNotFound",
        f"entry password of Secret {LOGIN_SECRET} does not exist",
    ),
    "a password that is empty": (
        spec_body(numbers(COUNT)),
        lambda world: world.secrets.put(LOGIN_SECRET, username="admin", password=""),
        "InvalidCredentials",
        f"entry password of Secret {LOGIN_SECRET} is empty",
    ),
    "a token's Secret": (
        spec_body(apis=[cloud()], phoneNumbers=[identified(one) for one in numbers(COUNT)]),
        lambda world: world.secrets.remove(TOKEN_SECRET),
        "CredentialsNotFound",
        f"Secret {TOKEN_SECRET} does not exist",
    ),
    "a provider's API key": (
        spec_body(
            apis=[provider(url="https://bsp-{digits}", key="key")],
            phoneNumbers=[identified(one) for one in numbers(1)],
        ),
        lambda world: world.secrets.put(PROVIDER_SECRET, other="x"),
        "CredentialsNotFound",
        f"entry key of Secret {PROVIDER_SECRET} does not exist",
    ),
}


def seen_at_the_api(status: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what the rows say of the numbers themselves."""
    kept = ("phoneNumber", "signatureStatus", "observedFingerprint", "lastPublishTime")
    return [tuple(row[name] for name in kept) for row in status["phoneNumbers"]]


def put_all(world: World) -> None:
    """Put everything where the objects look for it."""
    world.secrets.put_credentials("first")
    world.secrets.put(TOKEN_SECRET, token="EAAG")
    world.secrets.put(PROVIDER_SECRET, key="sesame")


@pytest.mark.parametrize(("wanted", "take_away", "reason", "message"), AWAY.values(), ids=AWAY.keys())
@pytest.mark.parametrize("checked", [False, True], ids=["after a minute", "while every number is being checked"])
@virtual_time
async def test_credentials_that_are_gone_are_told_of_every_number_at_once(
    wanted: dict[str, Any], take_away: Callable[[World], None], reason: str, message: str, *, checked: bool
) -> None:
    """One write within five seconds, whatever was Signed before; their return is another, without any call."""
    world = World()
    put_all(world)
    ref = world.objects.create(wanted=wanted)
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(60)
        if checked:
            for one in numbers(COUNT):
                world.phones[one].seconds = 2.0
            world.objects.request_check(ref, "1")
            await until(lambda: world.phones.under_way or wanted["apis"][0]["name"] != "default", 1)
        rows, seen = world.objects.status(ref)["phoneNumbers"], seen_at_the_api(world.objects.status(ref))
        world.objects.writes.clear()
        take_away(world)
        await until(lambda: world.objects.ready(ref) == ("False", reason), SECONDS_TO_TELL)

        (_, _, told) = world.objects.writes[-1]
        assert [row["reason"] for row in told["phoneNumbers"]] == [reason] * len(rows)
        assert [row["message"] for row in told["phoneNumbers"]] == [message] * len(rows)
        assert (told["signedNumbers"], told["desiredNumbers"]) == (0, len(rows))
        assert checked or len(world.objects.writes) == 1
        assert seen_at_the_api(told) == seen

        await asyncio.sleep(60)
        calls, writes = len(world.phones.calls), len(world.objects.writes)
        put_all(world)
        await until(lambda: world.objects.ready(ref) == READY, SECONDS_TO_TELL)
        assert seen_at_the_api(world.objects.status(ref)) == seen
        assert checked or (len(world.phones.calls), len(world.objects.writes)) == (calls, writes + 1)
    assert world.phones.count("publish") == len(rows)


@pytest.mark.parametrize(
    ("secret", "reason"), [(KEY_SECRET, "SecretNotFound"), (LOGIN_SECRET, "CredentialsNotFound")], ids=["key", "login"]
)
@virtual_time
async def test_a_secret_that_goes_and_comes_back_again_and_again_calls_nobody(secret: str, reason: str) -> None:
    """Each time it is told of, and each time all is well at its return; checks are made as often as ever."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT)))
    async with world.operator():
        await world.until_ready(ref)
        calls = len(world.phones.calls)
        for _ in range(20):
            world.secrets.remove(secret)
            await until(lambda: world.objects.ready(ref) == ("False", reason), SECONDS_TO_TELL)
            (world.secrets.put_key(keys.rsa()) if secret == KEY_SECRET else world.secrets.put_credentials("first"))
            await until(lambda: world.objects.ready(ref) == READY, SECONDS_TO_TELL)
            await asyncio.sleep(2)
        assert len(world.phones.calls) == calls
        while len(world.phones.calls) < calls + 100:
            world.secrets.remove(secret)
            await asyncio.sleep(5)
            (world.secrets.put_key(keys.rsa()) if secret == KEY_SECRET else world.secrets.put_credentials("first"))
            await asyncio.sleep(5)
        checked = [sum(one[1:] in call.url for call in world.phones.calls[calls:]) for one in numbers(COUNT)]
        assert min(checked) >= 3
        assert world.is_ready(ref)
    assert world.phones.count("publish") == COUNT


@virtual_time
async def test_a_number_that_was_being_mended_goes_on_where_it_was() -> None:
    """One that waits for its next publish, one that fails, and one that is new come right after the return, too."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3), intervalSeconds=60))
    lost, failing = world.phones[number(1)], world.phones[number(2)]
    async with world.operator():
        await world.until_ready(ref)
        failing.hang()
        lost.overwrite(None)
        lost.seconds = 3.0
        await until(lambda: world.phones.count("publish", number(1)) == 2, 120)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": one} for one in numbers(4)])
        world.secrets.remove(LOGIN_SECRET)
        await until(lambda: set(world.objects.reasons(ref).values()) == {"CredentialsNotFound"}, SECONDS_TO_TELL)
        await asyncio.sleep(20)
        lost.recover()
        failing.recover()
        world.secrets.put_credentials("first")
        await world.until_ready(ref, SECONDS_TO_TELL)
    assert [world.phones.count("publish", one) for one in numbers(4)] == [2, 1, 1, 1]


@virtual_time
async def test_a_key_that_came_while_credentials_were_away_is_published_at_their_return() -> None:
    """One number first, as in every rotation; each is published to once."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.remove(LOGIN_SECRET)
        await until(lambda: world.objects.ready(ref) == ("False", "CredentialsNotFound"), SECONDS_TO_TELL)
        world.secrets.put_key(keys.rsa("second"))
        await asyncio.sleep(30)
        assert world.objects.status(ref)["publicKeyFingerprint"] == keys.rsa("second").fingerprint
        assert set(world.objects.reasons(ref).values()) == {"CredentialsNotFound"}
        world.secrets.put_credentials("first")
        await world.until_signed_with(ref, keys.rsa("second"), SECONDS_TO_TELL)
    assert world.phones.count("publish") == 6


@virtual_time
async def test_a_number_that_another_object_had_for_a_while_is_looked_at() -> None:
    """The other one may have published to it: what was known before is not believed, however young it is."""
    world = World()
    older = world.objects.create("older", spec_body([number(2)]))
    ref = world.objects.create("younger", spec_body([number(1)]), created=10)
    async with world.operator():
        await world.until_ready(ref)
        world.objects.edit(older, phoneNumbers=[{"phoneNumber": number(1)}])
        await until(lambda: world.objects.ready(ref) == ("False", "DuplicateNumber"), SECONDS_TO_TELL)
        world.phones[number(1)].overwrite(keys.rsa("foreign").fingerprint)
        world.objects.edit(older, phoneNumbers=[{"phoneNumber": number(2)}])
        await until(lambda: world.phones[number(1)].holds(keys.rsa()), SECONDS_TO_TELL)
        await world.until_ready(ref, SECONDS_TO_TELL)


@virtual_time
async def test_a_rollout_goes_on_after_credentials_were_away() -> None:
    """Numbers that waited for the first one wait again, and follow it."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        world.phones[number(1)].settles = 100.0
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.objects.reasons(ref)[number(3)] == "WaitingForRollout", 10)
        world.secrets.remove(LOGIN_SECRET)
        await until(lambda: set(world.objects.reasons(ref).values()) == {"CredentialsNotFound"}, SECONDS_TO_TELL)
        world.secrets.put_credentials("first")
        await until(lambda: world.objects.reasons(ref)[number(3)] == "WaitingForRollout", SECONDS_TO_TELL)
        assert world.phones.count("publish") == 4
        await world.until_signed_with(ref, keys.rsa("second"), 180)
    assert world.phones.count("publish") == 6
