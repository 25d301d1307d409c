"""A whole manager and a Flow endpoint, in virtual time: no key is published that the endpoint cannot open."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.http.errors import NotConnectedError
from bek_operator.numbers.answers import Retry
from support import keys
from support.builders import KEY_SECRET, failure, spec_body
from support.cluster.conditions import kstatus
from support.fakes import number, numbers, unavailable
from support.simulators.flows_endpoint import PATH, Flaw
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

MINUTE, HOUR = 60.0, 3600.0
OLD, NEW = keys.rsa(), keys.rsa("second")
FIRST, SECOND = numbers(2)
APP = "meta-app"
AWAY = NotConnectedError("connection refused")


class Flows(World):
    """A world with one object that names the Flow endpoint, which holds the old key."""

    def __init__(self, count: int = 2, *, policy: str = "Gate", **spec: Any) -> None:
        super().__init__()
        self.secrets.put(APP, secret="an app secret")
        self.flows.app_secret = "an app secret"
        self.written = {
            "url": f"https://flows{PATH}",
            "appSecretRef": {"name": APP, "key": "secret"},
            "policy": policy,
        }
        self.listed = numbers(count)
        self.ref: ObjectKey = self.objects.create(wanted=spec_body(self.listed, flowsEndpoint=self.written, **spec))

    @property
    def reasons(self) -> set[str]:
        """Return the reasons of all numbers."""
        return set(self.objects.reasons(self.ref).values())

    @property
    def reason(self) -> str:
        """Return the reason of Ready."""
        return self.objects.ready(self.ref)[1]

    @property
    def summary(self) -> tuple[str, str, str]:
        """Return Ready's status and reason, and what kstatus makes of the object."""
        status = self.objects.status(self.ref)
        return *self.objects.ready(self.ref), kstatus(status, status["observedGeneration"])

    @property
    def shown(self) -> dict[str, Any]:
        """Return the endpoint's part of the status."""
        found: dict[str, Any] = self.objects.status(self.ref)["flowsEndpoint"]
        return found

    @property
    def condition(self) -> tuple[str, str]:
        """Return status and reason of EndpointReady."""
        (found,) = [one for one in self.objects.status(self.ref)["conditions"] if one["type"] == "EndpointReady"]
        return found["status"], found["reason"]

    @property
    def message(self) -> str:
        """Return the message of the Ready condition."""
        text: str = self.objects.status(self.ref)["conditions"][0]["message"]
        return text

    def all_hold(self, pair: keys.KeyPair) -> bool:
        """Return whether every number is VALID for a key."""
        return all(self.phones[one].holds(pair) for one in self.listed)

    async def until_reason(self, reason: str, seconds: float = MINUTE) -> None:
        """Wait until Ready has a reason."""
        await until(lambda: self.reason == reason, seconds)


@virtual_time
async def test_a_first_key_is_published_once_the_endpoint_has_opened_it() -> None:
    """One signed ping, then one publish to each number, and two writes at most."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref, 5)
    (ping,) = world.flows.pings
    assert (ping.opened, ping.signed) == (OLD.fingerprint, True)
    assert all(call.at >= ping.at for call in world.phones.calls if call.kind == "publish")
    assert (world.shown["reason"], world.shown["openedFingerprint"]) == ("EndpointHoldsKey", OLD.fingerprint)
    assert world.condition == ("True", "EndpointHoldsKey")
    assert len(world.objects.writes) <= 2
    assert world.events.reasons.count("EndpointHoldsKey") == 1
    assert world.flows.violations == []


@pytest.mark.parametrize("count", [2, 50])
@virtual_time
async def test_a_rotated_key_waits_until_the_endpoint_has_it(count: int) -> None:
    """Numbers keep the old key; within seconds after the endpoint has the new one, they have it, too."""
    world = Flows(count)
    async with world.operator():
        await world.until_ready(world.ref)
        world.phones.calls.clear()
        world.secrets.put_key(NEW)
        await world.until_reason("EndpointLacksKey", 3)
        assert world.reasons == {"WaitingForEndpoint"}
        assert world.summary == ("False", "EndpointLacksKey", "InProgress")
        assert "421" in world.message
        assert "421" in world.objects.status(world.ref)["phoneNumbers"][0]["message"]
        assert world.shown["openedFingerprint"] == OLD.fingerprint
        await asyncio.sleep(MINUTE)
        assert world.all_hold(OLD)
        assert world.phones.count("publish") == 0
        world.flows.hold(NEW)
        await world.until_signed_with(world.ref, NEW, MINUTE + 10)
        assert world.phones.count("publish") == count
        assert (world.shown["reason"], world.shown["openedFingerprint"]) == ("EndpointHoldsKey", NEW.fingerprint)
    assert "EndpointLacksKey" in world.events.reasons


@virtual_time
async def test_it_is_asked_after_five_seconds_then_ever_more_slowly_up_to_a_minute() -> None:
    """After ten minutes the user must act; it heals all the same."""
    world = Flows()
    world.flows.lose(OLD)
    async with world.operator():
        await world.until_reason("EndpointLacksKey", 3)
        await asyncio.sleep(9 * MINUTE)
        assert world.summary[2] == "InProgress"
        await asyncio.sleep(3 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "Failed")
        assert world.reasons == {"WaitingForEndpoint"}
        times = [ping.at for ping in world.flows.pings]
        pauses = [after - before for before, after in pairwise(times)]
        for pause, wanted in zip(pauses, [5, 10, 20, 40, 60, 60, 60], strict=False):
            assert pause == pytest.approx(wanted, rel=0.15)
        writes = len(world.objects.writes)
        await asyncio.sleep(HOUR)
        assert len(world.objects.writes) == writes
        world.flows.hold(OLD)
        await world.until_ready(world.ref, 70)


@pytest.mark.parametrize("how", ["secret", "request", "spec"])
@virtual_time
async def test_it_is_asked_at_once_when_a_user_changes_something(how: str) -> None:
    """Nobody waits for the back-off."""
    world = Flows()
    world.flows.lose(OLD)
    async with world.operator():
        await asyncio.sleep(5 * MINUTE)
        asked = len(world.flows.pings)
        world.flows.hold(NEW)
        world.flows.hold(OLD)
        if how == "secret":
            world.secrets.put_key(NEW)
        elif how == "request":
            world.objects.request_check(world.ref, "now")
        else:
            world.objects.edit(world.ref, flowsEndpoint={**world.written, "tls": {"serverName": "flows.example.com"}})
        await world.until_ready(world.ref, 3)
        assert len(world.flows.pings) == asked + 1
        if how == "request":
            assert world.objects.status(world.ref)["lastHandledReconcileAt"] == "now"


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [("in the clear", "EndpointInvalidAnswer"), ("vector not inverted", "EndpointInvalidAnswer")],
)
@virtual_time
async def test_an_endpoint_that_breaks_shows_at_once_and_nothing_is_published(flaw: Flaw, reason: str) -> None:
    """Flows are broken, whatever the numbers say; what numbers hold is left as it is."""
    world = Flows(intervalSeconds=600)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.flaw = flaw
        await world.until_reason(reason, 700)
        assert world.reasons == {"Signed"}
        assert world.condition == ("False", reason)
        world.flows.flaw = ""
        await world.until_ready(world.ref, 70)
        assert world.phones.count("publish") == 2


@virtual_time
async def test_a_key_that_the_endpoint_loses_is_told_from_a_fault_of_the_signature() -> None:
    """Each by its own reason, at the next ping."""
    world = Flows(intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.lose(OLD)
        await world.until_reason("EndpointLacksKey", 70)
        world.flows.app_secret = "another"
        await world.until_reason("EndpointSignatureRefused", 70)
        assert "app secret" in world.shown["message"]
        world.secrets.put(APP, secret="another")
        await world.until_reason("EndpointLacksKey", 3)
        world.flows.hold(OLD)
        await world.until_ready(world.ref, 70)
    assert world.phones.count("publish") == 2


@pytest.mark.parametrize("outage", ["unreachable", "500"])
@virtual_time
async def test_a_short_outage_changes_nothing_and_a_long_one_shows(outage: str) -> None:
    """The failure threshold, as for numbers: three failures and five minutes."""
    world = Flows(intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        await asyncio.sleep(MINUTE)
        writes = len(world.objects.writes)

        def break_down() -> None:
            if outage == "unreachable":
                world.flows.error = AWAY
            else:
                world.flows.flaw = "wrong padding"

        break_down()
        await asyncio.sleep(4 * MINUTE)
        world.flows.error, world.flows.flaw = None, ""
        await asyncio.sleep(10 * MINUTE)
        assert len(world.objects.writes) == writes
        break_down()
        await until(lambda: world.reason.startswith("Endpoint"), 9 * MINUTE)
        assert world.reason == ("EndpointUnreachable" if outage == "unreachable" else "EndpointInvalidAnswer")
        world.flows.error, world.flows.flaw = None, ""
        await world.until_ready(world.ref, 70)


@virtual_time
async def test_an_endpoint_whose_fault_changes_its_words_is_written_as_seldom_as_a_number() -> None:
    """One reason, another HTTP status at each ping."""
    world = Flows(intervalSeconds=600)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.lose(OLD)
        world.flows.lacks_status = 400
        await world.until_reason("EndpointInvalidAnswer", 700)
        writes, posted = len(world.objects.writes), len(world.events.reasons)
        for index in range(60):
            world.flows.forget_pings()
            world.flows.lacks_status = 404 if index % 2 else 400
            await until(lambda: world.flows.pings, 70)
        assert len(world.objects.writes) - writes <= 13
        assert len(world.events.reasons) == posted


@virtual_time
async def test_an_endpoint_that_flaps_has_as_many_events_as_a_number_that_does() -> None:
    """One when it fails, and one when all is well."""
    world = Flows(intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        posted = len(world.events.reasons)
        for _ in range(3):
            world.flows.lose(OLD)
            await world.until_reason("EndpointLacksKey", 70)
            world.flows.hold(OLD)
            await world.until_ready(world.ref, 70)
    assert world.events.reasons[posted:] == ["EndpointLacksKey", "Succeeded"] * 3


@virtual_time
async def test_a_key_that_the_endpoint_loses_during_a_rollout_goes_to_no_further_number() -> None:
    """Numbers keep theirs until it opens the new one again; a lost signature is repaired all the same."""
    rollout = {"type": "FirstNumber", "firstNumber": {"phoneNumber": FIRST, "pauseSeconds": 600}}
    world = Flows(4, rollout=rollout, intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.hold(NEW)
        world.secrets.put_key(NEW)
        await until(lambda: world.reasons == {"Signed", "WaitingForRollout"}, 5)
        world.flows.lose(NEW)
        await world.until_reason("EndpointLacksKey", 70)
        assert world.reasons == {"Signed", "WaitingForEndpoint"}
        assert "openedFingerprint" not in world.shown
        world.phones[FIRST].lose_signature()
        world.phones[SECOND].overwrite(None)
        await asyncio.sleep(HOUR)
        assert [world.phones.count("publish", one) for one in world.listed] == [3, 2, 1, 1]
        assert world.phones[number(3)].holds(OLD)
        world.phones[FIRST].overwrite(OLD.fingerprint)
        await asyncio.sleep(5 * MINUTE)
        assert world.objects.reasons(world.ref)[FIRST] == "WaitingForEndpoint"
    async with world.operator():
        await asyncio.sleep(5 * MINUTE)
        assert world.phones.count("publish", FIRST) == 3
        world.flows.hold(NEW)
        await world.until_signed_with(world.ref, NEW, 70 + 600)


@virtual_time
async def test_a_lost_signature_is_repaired_though_the_endpoint_is_away() -> None:
    """The key is not new."""
    world = Flows(intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.error = AWAY
        world.phones[FIRST].lose_signature()
        world.phones[SECOND].overwrite("sha256:" + "0" * 64)
        await until(lambda: world.phones.count("publish") == 4, 70)
        await until(lambda: world.all_hold(OLD))


@virtual_time
async def test_a_repair_that_was_refused_goes_on_after_a_restart_though_the_endpoint_is_away() -> None:
    """The row remembers that the number held the key, so the next process asks nobody either."""
    world = Flows(1, intervalSeconds=60)
    world.flows.error = AWAY
    world.phones[FIRST].overwrite(OLD.fingerprint)
    async with world.operator():
        await until(lambda: world.reasons == {"Signed"})
        world.phones[FIRST].refusal = failure(Reason.NOT_REGISTERED, "not registered", retry=Retry.TERMINAL)
        world.phones[FIRST].overwrite(None)
        await until(lambda: world.reasons == {"NotRegistered"}, 70)
        assert world.objects.status(world.ref)["phoneNumbers"][0]["lost"] == "NotPublished"
    async with world.operator():
        world.phones[FIRST].recover()
        await until(lambda: world.all_hold(OLD), 5 * MINUTE)
        await until(lambda: world.reasons == {"Signed"})
        assert "lost" not in world.objects.status(world.ref)["phoneNumbers"][0]
    assert "NotPublished" in world.events.reasons


@virtual_time
async def test_a_key_that_numbers_hold_already_needs_no_proof() -> None:
    """An endpoint that is named later, while it is away, does not hold up a repair, nor the rest of the numbers."""
    world = Flows()
    world.flows.error = AWAY
    world.phones[FIRST].overwrite(OLD.fingerprint)
    async with world.operator():
        await until(lambda: world.all_hold(OLD), 10)
        await world.until_reason("EndpointUnreachable")
        assert world.reasons == {"Signed"}


@virtual_time
async def test_with_the_policy_report_nothing_waits_and_ready_is_as_without() -> None:
    """The condition and an event tell."""
    world = Flows(policy="Report")
    world.flows.lose(OLD)
    async with world.operator():
        await world.until_ready(world.ref, 5)
        await until(lambda: world.condition == ("False", "EndpointLacksKey"))
        assert world.events.reasons.count("EndpointLacksKey") == 1
        world.flows.hold(OLD)
        await until(lambda: world.condition == ("True", "EndpointHoldsKey"), 70)
        assert world.is_ready(world.ref)
    assert world.shown["openedFingerprint"] == OLD.fingerprint


@virtual_time
async def test_nothing_changes_and_nothing_is_written_also_after_a_restart() -> None:
    """One ping an interval; what was opened before is remembered in the status."""
    world = Flows(intervalSeconds=600)
    async with world.operator():
        await world.until_ready(world.ref)
        writes, pings = len(world.objects.writes), len(world.flows.pings)
        await asyncio.sleep(10 * 600)
        assert 9 <= len(world.flows.pings) - pings <= 11
    for _ in range(3):
        pings = len(world.flows.pings)
        async with world.operator():
            await asyncio.sleep(1)
            assert len(world.flows.pings) <= pings + 1
            await asyncio.sleep(700)
            assert len(world.flows.pings) > pings
    assert len(world.objects.writes) == writes


@pytest.mark.parametrize("state", ["lacking", "stalled"])
@virtual_time
async def test_a_restart_while_a_key_waits_writes_nothing_and_publishes_nothing(state: str) -> None:
    """Also once the user must act."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.secrets.put_key(NEW)
        await world.until_reason("EndpointLacksKey")
        await asyncio.sleep(20 * MINUTE if state == "stalled" else 5)
        assert world.summary[2] == ("Failed" if state == "stalled" else "InProgress")
    writes, publishes = len(world.objects.writes), world.phones.count("publish")
    for _ in range(3):
        async with world.operator():
            await asyncio.sleep(20)
    assert len(world.objects.writes) == writes
    async with world.operator():
        world.flows.hold(NEW)
        await world.until_signed_with(world.ref, NEW, 70)
    assert world.phones.count("publish") == publishes + 2


@virtual_time
async def test_a_key_that_was_put_back_needs_no_proof_while_numbers_hold_it() -> None:
    """The way out of a rotation that went wrong."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.secrets.put_key(NEW)
        await world.until_reason("EndpointLacksKey")
        world.secrets.put_key(OLD)
        await world.until_signed_with(world.ref, OLD, 5)
    assert world.phones.count("publish") == 2


@virtual_time
async def test_another_url_is_another_endpoint() -> None:
    """What the one has opened says nothing of the other."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.error = AWAY
        world.objects.edit(world.ref, flowsEndpoint={**world.written, "url": f"https://others{PATH}"})
        await world.until_reason("EndpointUnreachable", 3)
        assert "openedFingerprint" not in world.shown


@pytest.mark.parametrize("during", ["a pause", "a restart"])
@virtual_time
async def test_another_url_while_there_is_no_key_is_another_endpoint_also_after_a_restart(during: str) -> None:
    """What the status says of an earlier spec proves nothing."""
    world = Flows(publishPolicy="Never")
    changed = {"flowsEndpoint": {**world.written, "url": f"https://others{PATH}"}, "publishPolicy": "IfNeeded"}
    async with world.operator():
        await until(lambda: world.reason == "NotPublished" and world.shown["reason"] == "EndpointHoldsKey")
        world.secrets.remove(KEY_SECRET)
        await world.until_reason("SecretNotFound", 10)
        if during == "a pause":
            world.objects.edit(world.ref, **changed)
            await until(lambda: world.objects.is_current(world.ref))
    if during == "a restart":
        world.objects.edit(world.ref, **changed)
    async with world.operator():
        await until(lambda: world.objects.is_current(world.ref))
        await asyncio.sleep(5)
        world.flows.lose(OLD)
        world.secrets.put_key(OLD)
        await world.until_reason("EndpointLacksKey", 10)
        await asyncio.sleep(MINUTE)
        assert (world.phones.count("publish"), world.reasons) == (0, {"WaitingForEndpoint"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"appSecretRef": {"name": "missing", "key": "secret"}}, Reason.CREDENTIALS_NOT_FOUND),
        ({"url": "https://flows.example.org"}, Reason.HOST_NOT_ALLOWED),
    ],
)
@virtual_time
async def test_an_endpoint_that_cannot_be_called_keeps_a_new_key_back(change: dict[str, Any], reason: Reason) -> None:
    """The message names what is missing; nothing is called, and the mended spec heals it."""
    world = Flows()
    world.objects.edit(world.ref, flowsEndpoint={**world.written, **change})
    async with world.operator():
        await world.until_reason(reason, 5)
        assert world.reasons == {"WaitingForEndpoint"}
        assert "Flow endpoint" in world.message
        await asyncio.sleep(HOUR)
        assert (world.flows.pings, world.phones.count("publish")) == ([], 0)
        world.objects.edit(world.ref, flowsEndpoint=world.written)
        await world.until_ready(world.ref, 5)


@virtual_time
async def test_a_suspended_object_asks_nobody_and_asks_again_when_it_resumes() -> None:
    """It claims nothing that it did not look at."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.objects.edit(world.ref, suspend=True)
        await until(lambda: world.objects.is_current(world.ref))
        assert world.objects.ready(world.ref)[0] == "True"
        pings = len(world.flows.pings)
        world.flows.lose(OLD)
        await asyncio.sleep(3 * HOUR)
        assert len(world.flows.pings) == pings
        world.objects.edit(world.ref, suspend=False)
        await world.until_reason("EndpointLacksKey", 3)
        assert world.reasons == {"Signed"}


@pytest.mark.parametrize("gone", [KEY_SECRET, APP])
@virtual_time
async def test_an_edit_takes_effect_at_once_though_a_secret_was_just_deleted(gone: str) -> None:
    """A Secret that may be replaced is waited for, but nothing is done by the spec from before."""
    world = Flows(intervalSeconds=60, policy="Report")
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.lose(OLD)
        await until(lambda: world.condition == ("False", "EndpointLacksKey"), 70)
        world.secrets.remove(gone)
        world.objects.edit(world.ref, flowsEndpoint={**world.written, "url": f"https://others{PATH}"})
        world.flows.forget_pings()
        await asyncio.sleep(1)
        state = "SecretNotFound" if gone == KEY_SECRET else "CredentialsNotFound"
        assert state in {world.reason, world.shown["reason"]}
        assert world.objects.is_current(world.ref)
        assert world.flows.pings == []


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("suspended", [False, True])
@virtual_time
async def test_ten_minutes_are_counted_only_while_the_endpoint_is_asked(*, suspended: bool, restarts: bool) -> None:
    """A day in which nobody was asked, suspended or without a key, is no reason to have the user act."""
    world = Flows()
    world.flows.lose(OLD)
    async with world.operator():
        await world.until_reason("EndpointLacksKey")
        await asyncio.sleep(MINUTE)
        if suspended:
            world.objects.edit(world.ref, suspend=True)
        else:
            world.secrets.remove(KEY_SECRET)
        await world.until_reason("Suspended" if suspended else "SecretNotFound")
        await asyncio.sleep(24 * HOUR)
        if restarts:
            await world.stop_manager()
            world.start_manager()
            await asyncio.sleep(5)
        if suspended:
            world.objects.edit(world.ref, suspend=False)
        else:
            world.secrets.put_key(OLD)
        await world.until_reason("EndpointLacksKey", 5)
        await asyncio.sleep(7 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "InProgress")
        await asyncio.sleep(5 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "Failed")


@virtual_time
async def test_without_the_field_all_that_was_known_is_gone() -> None:
    """No condition, no status, no pings, nothing waits."""
    world = Flows()
    world.flows.lose(OLD)
    async with world.operator():
        await world.until_reason("EndpointLacksKey")
        world.objects.edit(world.ref, flowsEndpoint=None)
        await world.until_ready(world.ref, 5)
        pings = len(world.flows.pings)
        await asyncio.sleep(HOUR)
        assert len(world.flows.pings) == pings
    assert "flowsEndpoint" not in world.objects.status(world.ref)
    assert [one["type"] for one in world.objects.status(world.ref)["conditions"]] == ["Ready"]


@virtual_time
async def test_a_key_secret_that_is_gone_leaves_the_endpoint_as_last_seen() -> None:
    """As it leaves the rows; back again, the endpoint is still known to hold the key."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.secrets.remove(KEY_SECRET)
        await world.until_reason("SecretNotFound", 10)
        assert world.condition == ("True", "EndpointHoldsKey")
        world.secrets.put_key(OLD)
        await world.until_ready(world.ref, 5)


@virtual_time
async def test_a_key_that_changes_while_the_endpoint_is_asked_is_asked_for_itself() -> None:
    """An answer for the one key is none for the other."""
    world = Flows()
    world.flows.seconds = 2.0
    async with world.operator():
        await until(lambda: world.reason == "Progressing")
        world.secrets.put_key(NEW)
        await asyncio.sleep(HOUR)
        assert world.phones.count("publish") == 0
        assert not any(ping.opened == NEW.fingerprint for ping in world.flows.pings)
        assert world.reasons == {"WaitingForEndpoint"}


@virtual_time
async def test_the_first_number_still_goes_first_once_the_endpoint_has_the_key() -> None:
    """The rollout comes after the proof."""
    world = Flows(5)
    async with world.operator():
        await world.until_ready(world.ref)
        world.phones[number(1)].settles = 100.0
        world.secrets.put_key(NEW)
        await world.until_reason("EndpointLacksKey")
        world.phones.calls.clear()
        world.flows.hold(NEW)
        await until(lambda: world.phones.count("publish") == 1, 70)
        await asyncio.sleep(30)
        assert world.phones.count("publish") == 1
        assert world.objects.reasons(world.ref)[SECOND] == "WaitingForRollout"
        await world.until_signed_with(world.ref, NEW, 200)


@virtual_time
async def test_an_api_server_that_is_away_leads_to_no_publish_of_a_key_that_was_not_opened() -> None:
    """What could not be written is asked again by the next process."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
    world.secrets.put_key(NEW)
    async with world.operator():
        await asyncio.sleep(1)
        world.objects.error = unavailable()
        await asyncio.sleep(5)
    world.objects.error = None
    async with world.operator():
        await asyncio.sleep(MINUTE)
        assert world.all_hold(OLD)


@virtual_time
async def test_an_error_of_the_operator_keeps_a_new_key_back_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is taken for no answer."""
    world = Flows()
    world.flows.error = ZeroDivisionError("a bug")
    async with world.operator():
        await world.until_reason("EndpointUnreachable", 5)
        assert "internal error of the operator" in world.message
        assert world.phones.count("publish") == 0
        world.flows.error = None
        await world.until_ready(world.ref, 10)
    assert "unexpected error during a ping" in caplog.text


@virtual_time
async def test_a_deleted_object_is_asked_for_no_more() -> None:
    """Also while it is being asked."""
    world = Flows()
    world.flows.seconds = 5.0
    async with world.operator():
        await asyncio.sleep(1)
        world.objects.delete(world.ref)
        await asyncio.sleep(HOUR)
    assert world.flows.pings == []


@virtual_time
async def test_a_hundred_objects_cost_no_write_and_one_ping_an_interval_each() -> None:
    """While nothing changes."""
    world = Flows(1, intervalSeconds=600)
    refs = [world.ref]
    for index in range(2, 101):
        spec = spec_body([number(index)], flowsEndpoint=world.written, intervalSeconds=600)
        refs.append(world.objects.create(f"flows-{index}", spec))
    async with world.operator():
        for ref in refs:
            await world.until_ready(ref)
        await asyncio.sleep(600)
        world.flows.forget_pings()
        writes = len(world.objects.writes)
        await asyncio.sleep(6 * 600)
        assert len(world.objects.writes) == writes
        assert len(world.flows.pings) == pytest.approx(600, rel=0.1)


@pytest.mark.parametrize("loses", [True, False])
@virtual_time
async def test_numbers_whose_old_key_the_endpoint_lost_do_not_wait_for_the_pause(*, loses: bool) -> None:
    """An event and the messages say that Flows are broken there until they have the new key."""
    rollout = {"type": "FirstNumber", "firstNumber": {"phoneNumber": FIRST, "pauseSeconds": 3600}}
    world = Flows(5, rollout=rollout, intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.hold(NEW)
        if loses:
            world.flows.lose(OLD)
        world.phones[FIRST].settles = 20.0
        world.secrets.put_key(NEW)
        if loses:
            await until(lambda: world.condition == ("True", "EndpointLacksOldKey"), 5)
            assert OLD.fingerprint.removeprefix("sha256:")[:12] in world.shown["message"]
            assert "Flows are broken" in world.message
            assert world.phones.count("publish", SECOND) == 1
            await world.until_signed_with(world.ref, NEW, 60)
            assert world.condition == ("True", "EndpointHoldsKey")
            assert world.events.reasons.count("EndpointLacksOldKey") == 1
        else:
            await asyncio.sleep(30 * MINUTE)
            assert world.reasons == {"Signed", "WaitingForRollout"}
            assert "EndpointLacksOldKey" not in world.events.reasons
            world.flows.lose(OLD)
            await world.until_signed_with(world.ref, NEW, 70)


@virtual_time
async def test_a_retry_after_of_the_endpoint_is_obeyed() -> None:
    """Whatever is changed and requested in between; an earlier key is asked for no more, either."""
    world = Flows(3, rollout=FIRST_NUMBER, intervalSeconds=60)
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.retry_after = 900
        world.flows.forget_pings()
        await until(lambda: world.flows.pings, 70)
        world.secrets.put_key(NEW)
        world.objects.request_check(world.ref, "now")
        world.flows.retry_after = 0
        world.flows.hold(NEW)
        await asyncio.sleep(14 * MINUTE)
        assert (len(world.flows.pings), world.all_hold(OLD)) == (1, True)
        await world.until_signed_with(world.ref, NEW, 2 * MINUTE)


@virtual_time
async def test_old_keys_are_asked_for_at_the_interval_while_a_new_one_is_lacking() -> None:
    """And at once when a user wants to know."""
    world = Flows(intervalSeconds=600)
    async with world.operator():
        await world.until_ready(world.ref)
        world.secrets.put_key(NEW)
        await world.until_reason("EndpointLacksKey")
        await asyncio.sleep(20 * MINUTE)
        world.flows.forget_pings()
        await asyncio.sleep(HOUR)
        assert 5 <= sum(ping.opened == OLD.fingerprint for ping in world.flows.pings) <= 7
        assert len(world.flows.pings) == pytest.approx(60 + 6, rel=0.1)
        world.flows.forget_pings()
        world.objects.request_check(world.ref, "now")
        await asyncio.sleep(2)
        assert [ping.opened for ping in world.flows.pings] == [None, OLD.fingerprint]


FIRST_NUMBER = {"type": "FirstNumber", "firstNumber": {"phoneNumber": FIRST}}


async def lose_the_old_key(world: Flows) -> None:
    """Rotate at an endpoint that has lost the old key, while the first number does not become VALID."""
    await world.until_ready(world.ref)
    world.flows.lose(OLD)
    world.flows.hold(NEW)
    world.phones[FIRST].settles = 1e9
    world.secrets.put_key(NEW)
    await until(lambda: world.condition == ("True", "EndpointLacksOldKey"), 5)


@virtual_time
async def test_an_old_key_that_was_lost_stays_known_after_a_restart() -> None:
    """Nothing is written, and nothing is forgotten, before the numbers have told their key again."""
    world = Flows(3, rollout=FIRST_NUMBER, intervalSeconds=3600)
    async with world.operator():
        await lose_the_old_key(world)
        await asyncio.sleep(2)
    writes = len(world.objects.writes)
    async with world.operator():
        await asyncio.sleep(60)
        assert world.condition == ("True", "EndpointLacksOldKey")
    assert len(world.objects.writes) == writes


@virtual_time
async def test_an_endpoint_that_lacks_both_keys_has_an_event_for_each_and_a_restart_changes_nothing() -> None:
    """Flows on numbers with the old key are broken, too, until the endpoint has a key that they hold."""
    world = Flows()
    async with world.operator():
        await world.until_ready(world.ref)
        world.flows.lose(OLD)
        world.secrets.put_key(NEW)
        await until(lambda: "earlier key" in world.shown["message"], 5)
        await asyncio.sleep(MINUTE)
        writes = len(world.objects.writes)
        await asyncio.sleep(5 * MINUTE)
    async with world.operator():
        await asyncio.sleep(MINUTE)
        assert len(world.objects.writes) == writes
        world.flows.hold(NEW)
        await world.until_signed_with(world.ref, NEW, 70)
    assert [world.events.reasons.count(one) for one in ("EndpointLacksKey", "EndpointLacksOldKey")] == [1, 1]


@virtual_time
async def test_no_answer_for_an_old_key_leaves_what_is_known_of_it() -> None:
    """Only an answer that opens ends the warning, and only one that does not begins it."""
    world = Flows(3, rollout=FIRST_NUMBER, intervalSeconds=60)
    async with world.operator():
        await lose_the_old_key(world)
        await asyncio.sleep(5)
        writes = len(world.objects.writes)
        world.flows.lacks_status = 503
        await asyncio.sleep(3 * MINUTE)
        assert len(world.objects.writes) == writes
        world.flows.hold(OLD)
        await until(lambda: world.condition == ("True", "EndpointHoldsKey"), 70)
        world.flows.lose(OLD)
        await asyncio.sleep(3 * MINUTE)
        assert world.condition == ("True", "EndpointHoldsKey")


@virtual_time
async def test_a_restart_does_not_count_the_time_that_an_earlier_key_was_lacking() -> None:
    """Ten minutes go by for each key, and the restart writes nothing."""
    world = Flows()
    world.flows.lose(OLD)
    async with world.operator():
        await asyncio.sleep(20 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "Failed")
        world.secrets.put_key(NEW)
        await asyncio.sleep(2 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "InProgress")
    writes = len(world.objects.writes)
    async with world.operator():
        await asyncio.sleep(7 * MINUTE)
        assert (world.summary[2], len(world.objects.writes)) == ("InProgress", writes)
        await asyncio.sleep(3 * MINUTE)
        assert world.summary == ("False", "EndpointLacksKey", "Failed")


@virtual_time
async def test_an_old_key_that_was_not_lost_is_not_taken_for_one_after_a_restart() -> None:
    """Numbers with that key wait as before, and the message names the other key only."""
    world, third = Flows(3, rollout=FIRST_NUMBER, intervalSeconds=60), keys.rsa("third")
    async with world.operator():
        await world.until_ready(world.ref)
        world.phones[number(3)].overwrite(third.fingerprint)
        world.phones[number(3)].public_key = third.public
        world.flows.hold(NEW)
        world.phones[FIRST].settles = 1e9
        world.secrets.put_key(NEW)
        await until(lambda: world.condition == ("True", "EndpointLacksOldKey"), 200)
        await asyncio.sleep(5)
    shown = world.shown
    async with world.operator():
        for _ in range(20):
            await asyncio.sleep(0.5)
            assert world.shown == shown
    assert third.fingerprint.removeprefix("sha256:")[:12] in shown["message"]
    assert OLD.fingerprint.removeprefix("sha256:")[:12] not in shown["message"]
