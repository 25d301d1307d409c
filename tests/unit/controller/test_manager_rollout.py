"""A rotation by a whole manager, in virtual time: one number verifies the new key, then the others follow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cluster.errors import Unavailable
from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Retry
from support import keys
from support.builders import BROKEN, BUSY, DENIED, KEY_SECRET, NAMESPACE, NOW, REJECTED, failure, on_premises, spec_body
from support.cluster.conditions import kstatus
from support.fakes import FakeLimits, now, number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey
    from bek_operator.numbers.answers import Failure

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
FAILED_OVER_IT = failure(Reason.SERVICE_NOT_READY, "failed over it", retry=Retry.LIMITED, unknown=True)
AWAY = failure(Reason.SERVICE_NOT_READY, "not ready")
OLD, NEW = keys.rsa(), keys.rsa("second")
FIRST, SECOND, THIRD = number(1), number(2), number(3)


class Rotation(World):
    """A world with one object, whose numbers are all signed with the old key when the operator has begun."""

    def __init__(self, count: int = 5, rollout: dict[str, Any] | None = None, **spec: Any) -> None:
        super().__init__()
        # Others may have any order; what counts is the lowest.
        listed = [*numbers(count)[1:], FIRST]
        self.ref: ObjectKey = self.objects.create(wanted=spec_body(listed, rollout=rollout or {}, **spec))

    async def begin(self) -> None:
        """Wait until all is well, and let the last reads get old or not."""
        await self.until_ready(self.ref)
        self.phones.calls.clear()

    def rotate(self) -> None:
        """Put the new key into the Secret."""
        self.secrets.put_key(NEW)

    async def until_spread(self, seconds: float = MINUTE) -> None:
        """Wait until the new key is everywhere."""
        await self.until_signed_with(self.ref, NEW, seconds)

    async def until_waiting(self, first: str, seconds: float = MINUTE, but: str = FIRST) -> None:
        """Wait until a number has a reason, and all others wait for the rollout."""
        await until(lambda: self.reasons == dict.fromkeys(self.reasons, "WaitingForRollout") | {but: first}, seconds)

    @property
    def reasons(self) -> dict[str, str]:
        """Return the reason of every number."""
        return self.objects.reasons(self.ref)

    @property
    def summary(self) -> tuple[str, str, str]:
        """Return Ready's status and reason, and what kstatus makes of the object."""
        status = self.objects.status(self.ref)
        return *self.objects.ready(self.ref), kstatus(status, status["observedGeneration"])

    @property
    def published(self) -> list[str]:
        """Return the numbers that were published to since the beginning, in this order."""
        return ["+" + call.url.split("-")[1].split(".")[0] for call in self.phones.calls if call.kind == "publish"]

    def row(self, one: str) -> dict[str, Any]:
        """Return a number's row."""
        rows = self.objects.status(self.ref)["phoneNumbers"]
        found: dict[str, Any] = next(row for row in rows if row["phoneNumber"] == one)
        return found

    @property
    def message(self) -> str:
        """Return the message of the Ready condition."""
        text: str = self.objects.status(self.ref)["conditions"][0]["message"]
        return text


@virtual_time
async def test_the_lowest_of_fifty_numbers_proves_the_key_before_the_others_get_it() -> None:
    """The others are published to once the first was read as VALID, and none of them is asked before."""
    world = Rotation(50)
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_spread(5)
    calls = [(call.kind, call.url) for call in world.phones.calls]
    assert [kind for kind, _ in calls[:2]] == ["publish", "read"]
    assert all(FIRST[1:] in url for _, url in calls[:2])
    assert sorted(world.published) == numbers(50)
    assert len(calls) == 100


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale"])
@virtual_time
async def test_while_the_first_is_not_valid_yet_the_others_wait(*, stale: bool) -> None:
    """Nobody must act, the rows keep what is known of the old key, and nobody else is called."""
    world = Rotation(50, intervalSeconds=7 * 86400)
    async with world.operator():
        await world.begin()
        await asyncio.sleep(HOUR if stale else 0)
        world.phones[FIRST].settles = 200.0
        world.rotate()
        await world.until_waiting("Pending", 5)
        assert world.summary == ("False", "Progressing", "InProgress")
        row = world.row(SECOND)
        assert (row["signatureStatus"], row["observedFingerprint"]) == ("VALID", OLD.fingerprint)
        assert FIRST in row["message"]
        assert len([call for call in world.phones.calls if FIRST[1:] not in call.url]) == 0
        await world.until_spread(5 * MINUTE)
    assert sorted(world.published) == numbers(50)
    assert len([call for call in world.phones.calls if SECOND[1:] in call.url]) == (3 if stale else 2)


@virtual_time
async def test_a_key_that_is_refused_reaches_exactly_one_of_fifty_numbers() -> None:
    """The object stalls and says what to do; neither days nor restarts nor a failing API bring it to another one."""
    world = Rotation(50)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = REJECTED
        world.rotate()
        await world.until_waiting("KeyRejected", 3)
        assert world.summary == ("False", "KeyRejected", "Failed")
        assert world.message == (
            f"1 of 50 numbers: {REJECTED.message} ({FIRST}); 49 waiting for the rollout until {FIRST} is verified: "
            "put a key that works into the Secret, or name another number in `rollout.firstNumber`"
        )
        assert FIRST in world.row(SECOND)["message"]
        assert "put the old key back" in world.row(SECOND)["message"]
        writes = len(world.objects.writes)
        await asyncio.sleep(HOUR / 2)
        world.phones[FIRST].failure = BUSY
        await asyncio.sleep(HOUR)
    async with world.operator():
        await asyncio.sleep(HOUR)
        world.phones[FIRST].failure = None
        await asyncio.sleep(HOUR)
        assert len(world.objects.writes) - writes <= 4
        assert set(world.published) == {FIRST}
        assert all(world.phones[one].holds(OLD) for one in numbers(50))
        assert world.phones.count("read", SECOND) >= 18
        world.phones[FIRST].recover()
        world.objects.request_check(world.ref, "mended")
        await world.until_spread(5)


@virtual_time
async def test_a_first_number_that_stays_mismatch_stops_the_rollout() -> None:
    """For five minutes after each publish it is Pending, then a person's; the others keep the old key."""
    world = Rotation(3)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].settles = float("inf")
        world.rotate()
        await world.until_waiting("Pending", 3)
        assert world.summary == ("False", "Progressing", "InProgress")
        await world.until_waiting("SignatureMismatch", 20 * MINUTE)
        assert world.summary == ("False", "SignatureMismatch", "Failed")
        assert f"2 waiting for the rollout until {FIRST} is verified: put a key" in world.message
        world.phones[FIRST].failure = BUSY
        await asyncio.sleep(2 * HOUR)
    async with world.operator():
        await asyncio.sleep(2 * HOUR)
        assert set(world.published) == {FIRST}
        world.phones[FIRST].recover()
        world.phones[FIRST].settles = 0.0
        await world.until_spread(24 * HOUR)


@virtual_time
async def test_a_number_that_refuses_without_a_word_does_not_stop_the_others() -> None:
    """An error that nobody knows is no evidence against the key: another number proves it."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = BROKEN
        world.rotate()
        await until(lambda: world.objects.status(world.ref)["signed"] == "4/5", MINUTE)
        await until(lambda: world.summary == ("False", "InvalidAnswer", "Failed"), 5 * MINUTE)
        assert "key that works" not in world.message
        assert world.objects.status(world.ref)["phoneNumbers"][-1].get("publishes", 0) == 0
        world.phones[FIRST].recover()
        await world.until_spread(2 * HOUR)


@virtual_time
async def test_refusals_for_a_passing_reason_do_not_go_round_all_numbers() -> None:
    """The rollout tries one number a minute, says why it does not get on, and does when the reason has passed."""
    world = Rotation(300, intervalSeconds=86400)
    async with world.operator():
        await world.begin()
        for one in numbers(300):
            world.phones[one].refusal = AWAY
        world.rotate()
        await asyncio.sleep(HOUR)
        assert 50 < len(world.published) <= 70
        assert world.summary == ("False", "ServiceNotReady", "InProgress")
        assert AWAY.message in world.message
        world.phones.calls.clear()
        await asyncio.sleep(6 * HOUR)
        assert len(world.published) <= 6 * 60
        for one in numbers(300):
            world.phones[one].refusal = None
        await world.until_spread(3 * MINUTE)


@virtual_time
async def test_a_key_whose_fate_is_unknown_reaches_one_number_as_well() -> None:
    """What is answered by nonsense may have arrived: whoever reads well and takes no key stops the rollout."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = FAILED_OVER_IT
        world.rotate()
        await world.until_waiting("ServiceNotReady", MINUTE)
        await until(lambda: world.summary == ("False", "ServiceNotReady", "Failed"), HOUR)
        assert f"4 waiting for the rollout until {FIRST} is verified: put a key that works" in world.message
        await asyncio.sleep(DAY)
    async with world.operator():
        await asyncio.sleep(DAY)
        assert set(world.published) == {FIRST}
        world.phones[FIRST].recover()
        world.objects.request_check(world.ref, "mended")
        await world.until_spread(5)


@virtual_time
async def test_a_refusal_that_a_failed_check_hides_still_stops_the_rollout_after_a_restart() -> None:
    """The row shows what a person must see to first, and that the number was given the key."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = REJECTED
        world.rotate()
        await world.until_waiting("KeyRejected", 3)
        world.phones[FIRST].failure = DENIED
        await world.until_waiting("AccessDenied", HOUR)
    async with world.operator():
        await asyncio.sleep(DAY)
        assert set(world.published) == {FIRST}


@virtual_time
async def test_a_named_number_that_cannot_be_asked_says_what_to_do() -> None:
    """No other takes its place, so the object says that one has to see to it, or name another."""
    world = Rotation(3, {"firstNumber": {"phoneNumber": SECOND}})
    async with world.operator():
        await world.begin()
        world.phones[SECOND].failure = failure(Reason.NOT_REGISTERED, "not registered", retry=DENIED.retry)
        world.rotate()
        await until(
            lambda: f"2 waiting for the rollout until {SECOND} is verified: repair that number" in world.message, HOUR
        )
        assert set(world.published) == {SECOND}


TROUBLES = {
    "out of reach": failure(),
    "busy": BUSY,
    "for a person to see to": failure(retry=REJECTED.retry),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale"])
@virtual_time
async def test_a_first_number_that_fails_hands_over_to_the_next(trouble: Any, *, stale: bool) -> None:
    """Two numbers fail, each for its own reasons: the third goes first, and the two get the key when they can."""
    world = Rotation(5, intervalSeconds=86400)
    async with world.operator():
        await world.begin()
        await asyncio.sleep(HOUR if stale else 0)
        for one in (FIRST, SECOND):
            world.phones[one].failure = trouble
        world.phones[THIRD].settles = 20.0
        world.rotate()
        await until(lambda: world.phones[THIRD].fingerprint == NEW.fingerprint, 5)
        await asyncio.sleep(5)
        assert all(world.phones[one].holds(OLD) for one in (FIRST, SECOND, number(4), number(5)))
        for one in (FIRST, SECOND):
            world.phones[one].recover()
        # They answer again while the third has the key on trial.
        world.objects.request_check(world.ref, "1")
        await asyncio.sleep(5)
        assert set(world.published) - {THIRD} <= {FIRST, SECOND}
        await world.until_spread(25 * HOUR)


@virtual_time
async def test_a_first_number_that_nobody_can_ask_is_waited_for_and_given_ten_seconds() -> None:
    """All are behind one host that takes no calls for a while: that says nothing of the first, and then it hangs."""
    world = Rotation(3, apis=[on_premises(url="https://whatsapp/{digits}")])
    limits = world.limits = FakeLimits(8)
    phones = [world.phones.at(f"https://whatsapp.{NAMESPACE}.svc/{one[1:]}") for one in numbers(3)]
    async with world.operator():
        await world.begin()
        limits.closed_until[f"whatsapp.{NAMESPACE}.svc", True] = now() + 100
        world.rotate()
        phones[0].hang()
        began = now()
        await until(lambda: phones[1].fingerprint == NEW.fingerprint, 130)
        assert 109 < now() - began < 112
        assert [call.url[-1] for call in world.phones.calls[:2]] == ["1", "2"]
        phones[0].recover()
        await world.until_spread(40 * MINUTE)


@pytest.mark.parametrize("one", [SECOND, THIRD])
def test_a_number_that_can_go_first_again_does_so_at_once(one: str) -> None:
    """While none of them was able to, the rollout waited for whoever comes round first."""

    @virtual_time
    async def run() -> None:
        world = Rotation(3, intervalSeconds=3600)
        async with world.operator():
            await world.begin()
            await asyncio.sleep(HOUR / 2)
            for sick in (FIRST, SECOND, THIRD):
                world.phones[sick].failure = failure(Reason.NOT_REGISTERED, "not registered", retry=Retry.TERMINAL)
            world.phones[one].failure = failure()
            world.rotate()
            await until(lambda: world.phones.count("read", one) >= 3, HOUR)
            world.phones[one].recover()
            await until(lambda: world.phones.count("read", one) >= 4, HOUR)
            await until(lambda: world.phones[one].holds(NEW), 1)
        assert world.published == [one]

    run()


@virtual_time
async def test_a_first_number_that_hangs_hands_over_after_ten_seconds() -> None:
    """Each that does not answer costs ten seconds; those that do not are not waited for afterwards."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        for one in (FIRST, SECOND):
            world.phones[one].hang()
        began = now()
        world.rotate()
        await until(lambda: THIRD in world.published, 25)
        assert 19 < now() - began < 21
        await until(lambda: all(world.phones[number(index)].holds(NEW) for index in (3, 4, 5)), 3)


@virtual_time
async def test_the_named_number_goes_first_and_no_other_takes_its_place() -> None:
    """While it is out of reach all others wait, and say for whom; another one that is named goes at once."""
    world = Rotation(5, {"firstNumber": {"phoneNumber": number(4)}})
    async with world.operator():
        await world.begin()
        world.phones[number(4)].failure = failure()
        world.rotate()
        await world.until_waiting("Unreachable", 5, but=number(4))
        await asyncio.sleep(HOUR)
        assert set(world.published) == {number(4)}
        assert world.summary == ("False", "Unreachable", "InProgress")
        assert number(4) in world.row(FIRST)["message"]
        assert "rollout.firstNumber" in world.row(FIRST)["message"]
        world.phones[number(2)].settles = 30.0
        world.objects.edit(world.ref, rollout={"firstNumber": {"phoneNumber": number(2)}})
        await until(lambda: number(2) in world.published, 2)
        await asyncio.sleep(5)
        assert set(world.published) == {number(2), number(4)}
        world.phones[number(4)].recover()
        await world.until_spread(20 * MINUTE)


@virtual_time
async def test_the_others_follow_when_the_pause_is_over() -> None:
    """It is counted from the first number's publish; the rows and the object tell until when."""
    world = Rotation(5, {"firstNumber": {"pauseSeconds": 7200}}, intervalSeconds=86400)
    async with world.operator():
        await world.begin()
        began = now()
        world.rotate()
        await world.until_waiting("Signed", 3)
        assert world.summary == ("False", "WaitingForRollout", "InProgress")
        opens = f"2026-11-22T12:00:{int(began - NOW):02d}Z"
        assert opens in world.row(SECOND)["message"]
        assert opens in world.message
        writes = len(world.objects.writes)
        await asyncio.sleep(7199 - (now() - began))
        assert (world.published, len(world.objects.writes)) == ([FIRST], writes)
        await world.until_spread(3)
    assert sorted(world.published) == numbers(5)


@virtual_time
async def test_numbers_that_wait_are_checked_as_often_as_any() -> None:
    """Each interval, and no more often; a passing failure of one of them is neither shown nor written."""
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 86400}})
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_waiting("Signed", 3)
        world.phones.calls.clear()
        writes = len(world.objects.writes)
        await asyncio.sleep(5 * HOUR)
        assert 28 <= world.phones.count("read", SECOND) <= 34
        reads = world.phones.count("read", SECOND)
        world.phones[SECOND].failure = BUSY
        await until(lambda: world.phones.count("read", SECOND) >= reads + 2, 20 * MINUTE)
        world.phones[SECOND].failure = None
        await asyncio.sleep(HOUR)
        assert (world.published, len(world.objects.writes)) == ([], writes)
        world.phones[SECOND].overwrite(keys.rsa("third").fingerprint)
        await until(lambda: world.row(SECOND)["observedFingerprint"] == keys.rsa("third").fingerprint, HOUR)
        assert world.row(SECOND)["reason"] == "WaitingForRollout"


@virtual_time
async def test_checks_of_numbers_that_wait_are_not_urgent() -> None:
    """Where only what is urgent finds room they are left alone, until their turn comes."""
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 3600}})
    limits = world.limits = FakeLimits(8)
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_waiting("Signed", 3)
        limits.closed_until[f"whatsapp-{SECOND[1:]}.{NAMESPACE}.svc", False] = now() + 86400
        await asyncio.sleep(3500)
        assert world.phones.count("read", SECOND) == 0
        assert world.phones.count("read", THIRD) >= 4
        await world.until_spread(120)


@virtual_time
async def test_a_restart_shortly_before_the_end_of_the_pause_is_in_time() -> None:
    """The numbers that wait are neither all read at once then, nor forgotten when their turn comes."""
    world = Rotation(50, {"firstNumber": {"pauseSeconds": 3600}}, intervalSeconds=86400)
    async with world.operator():
        await world.begin()
        began = now()
        world.rotate()
        await world.until_waiting("Signed", 3)
    await asyncio.sleep(3540 - (now() - began))
    world.phones.calls.clear()
    async with world.operator():
        await asyncio.sleep(50)
        assert len(world.phones.calls) <= 5
        await world.until_spread(15)


@virtual_time
async def test_a_key_that_is_rotated_while_nobody_is_there_is_tried_first_as_well() -> None:
    """What the rows tell of the former key is enough to leave the others alone."""
    world = Rotation(50, intervalSeconds=7 * 86400)
    async with world.operator():
        await world.begin()
    world.rotate()
    world.phones[FIRST].settles = 200.0
    async with world.operator():
        await world.until_waiting("Pending", 5)
        assert len([call for call in world.phones.calls if FIRST[1:] not in call.url]) == 0
        assert world.row(SECOND)["observedFingerprint"] == OLD.fingerprint
        await world.until_spread(5 * MINUTE)


@virtual_time
async def test_a_restart_in_the_middle_of_the_pause_goes_on_where_it_was() -> None:
    """Nobody is published to before the pause is over, though the first number does not answer meanwhile."""
    world = Rotation(5, {"firstNumber": {"pauseSeconds": 3600}})
    async with world.operator():
        await world.begin()
        began = now()
        world.rotate()
        await world.until_waiting("Signed", 3)
    await asyncio.sleep(20 * MINUTE)
    world.phones[FIRST].hang()
    async with world.operator():
        await asyncio.sleep(20 * MINUTE)
    async with world.operator():
        await asyncio.sleep(began + 3590 - now())
        assert world.published == [FIRST]
        await until(lambda: all(world.phones[one].holds(NEW) for one in numbers(5)), 30)
    assert sorted(world.published) == numbers(5)


@pytest.mark.parametrize("cut_off", [False, True], ids=["recorded", "not recorded"])
@virtual_time
async def test_a_restart_between_publish_and_proof_gives_the_key_to_nobody_else(*, cut_off: bool) -> None:
    """The first number's row shows its publish, or else it costs one more to the same number."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].settles = 250.0
        world.rotate()
        await until(lambda: world.published == [FIRST], 3)
        if cut_off:
            world.objects.error = Unavailable("the API server is away")
        await asyncio.sleep(1)
    world.objects.error = None
    async with world.operator():
        await asyncio.sleep(100)
        assert set(world.published) == {FIRST}
        assert len(world.published) <= 2
        await world.until_spread(10 * MINUTE)


@pytest.mark.parametrize("refusal", [None, REJECTED], ids=["accepted", "refused"])
@virtual_time
async def test_the_old_key_put_back_ends_a_rollout(refusal: Failure | None) -> None:
    """Whoever had the new key gets the old one at once, nobody else is published to, pause or not."""
    world = Rotation(5, {"firstNumber": {"pauseSeconds": 3600}})
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = refusal
        world.rotate()
        await world.until_waiting("KeyRejected" if refusal else "Signed", 3)
        world.phones[FIRST].refusal = None
        world.secrets.put_key(OLD)
        await world.until_signed_with(world.ref, OLD, 5)
        assert world.published == [FIRST] * (1 if refusal else 2)


@virtual_time
async def test_a_third_key_starts_anew_with_the_lowest_number() -> None:
    """Whoever went first last time does not matter."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].failure = failure()
        world.phones[SECOND].refusal = REJECTED
        world.rotate()
        await until(lambda: world.reasons[SECOND] == "KeyRejected", 5)
        for one in (FIRST, SECOND):
            world.phones[one].recover()
        world.phones.calls.clear()
        world.secrets.put_key(keys.rsa("third"))
        await world.until_signed_with(world.ref, keys.rsa("third"), 5)
        assert world.published[0] == FIRST
        assert sorted(world.published) == numbers(5)


@virtual_time
async def test_with_all_at_once_nobody_waits() -> None:
    """A first number that refuses the key holds up no other; nor does switching to it in the middle."""
    world = Rotation(5, {"type": "AllAtOnce"})
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = REJECTED
        world.rotate()
        await until(lambda: all(world.phones[one].holds(NEW) for one in numbers(5)[1:]), 3)
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].refusal = REJECTED
        world.rotate()
        await world.until_waiting("KeyRejected", 3)
        await asyncio.sleep(HOUR)
        world.objects.edit(world.ref, rollout={"type": "AllAtOnce"})
        await until(lambda: all(world.phones[one].holds(NEW) for one in numbers(5)[1:]), 3)


@virtual_time
async def test_a_first_publication_waits_for_nobody() -> None:
    """Numbers that hold no key have nothing to lose; one that refuses the key stands alone."""
    world = Rotation(5)
    world.phones[FIRST].refusal = REJECTED
    async with world.operator():
        await until(lambda: all(world.phones[one].holds(OLD) for one in numbers(5)[1:]), 3)
        await until(lambda: world.summary == ("False", "KeyRejected", "Failed"), 3)
    assert "waiting for the rollout" not in world.message


@virtual_time
async def test_foreign_keys_that_are_found_on_first_sight_are_replaced_one_first() -> None:
    """Numbers that were looked after by hand before hold a key that works: it is not put at risk everywhere."""
    world = Rotation(5)
    for one in numbers(5):
        world.phones[one].overwrite(keys.rsa("foreign").fingerprint)
        world.phones[one].refusal = REJECTED
    async with world.operator():
        await until(lambda: world.summary == ("False", "KeyRejected", "Failed"), 15)
        await asyncio.sleep(HOUR)
    assert len(set(world.published)) == 1
    assert sorted(world.reasons.values()) == ["KeyRejected", *["WaitingForRollout"] * 4]


@virtual_time
async def test_a_number_that_never_publishes_or_is_suspended_waits_for_nothing() -> None:
    """The policy Never reports what it sees; `suspend` in the middle of a pause keeps everybody from being called."""
    world = Rotation(3, publishPolicy="Never")
    for one in numbers(3):
        world.phones[one].overwrite(OLD.fingerprint)
    async with world.operator():
        await world.begin()
        world.rotate()
        await until(lambda: set(world.reasons.values()) == {"ForeignKey"}, 3)
        assert world.summary == ("False", "ForeignKey", "Failed")
        assert world.published == []
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 600}})
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_waiting("Signed", 3)
        world.objects.edit(world.ref, suspend=True)
        await asyncio.sleep(1)
        calls, reads = len(world.phones.calls), len(world.objects.reads)
        await asyncio.sleep(HOUR)
        assert len(world.phones.calls) == calls
        assert len(world.objects.reads) == reads
        world.objects.edit(world.ref, suspend=False)
        await world.until_spread(5)


@virtual_time
async def test_a_key_that_is_gone_is_given_to_nobody() -> None:
    """When the Secret vanishes in the middle of a pause the others keep what they have, however long that takes."""
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 600}})
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_waiting("Signed", 3)
        world.secrets.remove(KEY_SECRET)
        await asyncio.sleep(HOUR)
        assert world.published == [FIRST]
        world.rotate()
        await world.until_spread(5)


@virtual_time
async def test_a_number_that_is_added_during_the_pause_waits_if_it_has_something_to_lose() -> None:
    """One that holds another key waits with the others, though it is the lowest; one without any has it at once."""
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 600}})
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_waiting("Signed", 3)
        lowest, bare = number(0), number(9)
        world.phones[lowest].overwrite(keys.rsa("foreign").fingerprint)
        world.objects.edit(world.ref, phoneNumbers=[{"phoneNumber": one} for one in [lowest, *numbers(3), bare]])
        await until(lambda: world.reasons.get(lowest) == "WaitingForRollout", 3)
        await until(lambda: world.reasons[bare] == "Signed", 3)
        await asyncio.sleep(500)
        assert world.published == [FIRST, bare]
        await world.until_spread(120)


@virtual_time
async def test_numbers_that_are_overwritten_get_the_key_back_whatever_the_pause() -> None:
    """They had it: that is no rotation, whether most of them are hit, or a named number cannot be asked."""
    world = Rotation(3, {"firstNumber": {"phoneNumber": FIRST, "pauseSeconds": 86400}}, intervalSeconds=60)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].failure = DENIED
        for one in (SECOND, THIRD):
            world.phones[one].overwrite(NEW.fingerprint)
        await until(lambda: all(world.phones[one].holds(OLD) for one in (SECOND, THIRD)), 2 * MINUTE)
        await until(lambda: "ForeignKey" in world.events.reasons, 5)
        assert "WaitingForRollout" not in world.events.reasons


@virtual_time
async def test_a_single_number_goes_first_and_last() -> None:
    """Whatever the pause, there is nobody to wait."""
    world = Rotation(1, {"firstNumber": {"pauseSeconds": 600}})
    async with world.operator():
        await world.begin()
        world.rotate()
        await world.until_spread(3)


@virtual_time
async def test_a_number_that_is_overwritten_during_the_pause_is_repaired() -> None:
    """It had the key before: giving it back spreads nothing."""
    world = Rotation(3, {"firstNumber": {"pauseSeconds": 86400}}, intervalSeconds=60)
    async with world.operator():
        await world.begin()
        await asyncio.sleep(10 * MINUTE)
        world.phones[SECOND].overwrite(keys.rsa("foreign").fingerprint)
        await until(lambda: world.phones[SECOND].holds(OLD), 2 * MINUTE)
        world.rotate()
        await world.until_waiting("Signed", 3)
        world.phones[FIRST].overwrite(keys.rsa("foreign").fingerprint)
        await until(lambda: world.phones[FIRST].holds(NEW), 2 * MINUTE)
        assert set(world.published[-2:]) == {FIRST}


@virtual_time
async def test_new_credentials_let_the_lowest_number_go_first() -> None:
    """All were denied for hours; when the password is mended the key is tried on one, and it is the lowest."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        for one in numbers(5):
            world.phones[one].failure = failure(retry=REJECTED.retry)
        world.rotate()
        await asyncio.sleep(HOUR)
        for one in numbers(5):
            world.phones[one].recover()
        world.phones[FIRST].settles = 30.0
        world.phones.calls.clear()
        world.secrets.put_credentials("second")
        await until(lambda: world.published, 3)
        await asyncio.sleep(10)
        assert world.published == [FIRST]
        await world.until_spread(5 * MINUTE)


@virtual_time
async def test_an_edit_of_the_apis_in_the_middle_of_a_rollout_spreads_nothing() -> None:
    """Every number is looked at anew; who has the key on trial is known from the rows."""
    world = Rotation(5)
    async with world.operator():
        await world.begin()
        world.phones[FIRST].failure = failure()
        world.phones[SECOND].settles = 280.0
        world.rotate()
        await until(lambda: SECOND in world.published, 3)
        await asyncio.sleep(2)
        world.phones[FIRST].recover()
        world.objects.edit(world.ref, apis=[on_premises(tls={"serverName": "whatsapp-web"})])
        await asyncio.sleep(60)
        assert set(world.published) - {FIRST} == {SECOND}
        assert world.phones[FIRST].holds(OLD)
        await world.until_spread(10 * MINUTE)
