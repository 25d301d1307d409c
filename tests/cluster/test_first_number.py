"""A rotated key is tried on one number before it is spread, whichever APIs the numbers live on."""

from collections.abc import Sequence
from typing import Any

import pytest

from support import keys
from support.cluster.scene import Scene, conditions
from support.simulators import faults
from support.simulators.business import Business
from support.simulators.graph_errors import graph_error
from support.simulators.signed_number import SignedNumber

NEW = "second"
"""The name of the key that is rotated to."""


@pytest.fixture
def numbers(scene: Scene, business: Business) -> list[SignedNumber]:
    """Provide five numbers, lowest first: three On-Premises and two on the Cloud API."""
    return [*scene.simulator.pods.values(), business.add(), business.add()]


def mixed(scene: Scene, business: Business, rollout: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an object for all numbers."""
    listed = [{"phoneNumber": number, "api": "default"} for number in scene.simulator.pods]
    apis = [scene.api(), business.api()]
    return scene.manifest(apis=apis, phoneNumbers=[*business.listed(), *listed], rollout=rollout or {})


def start(scene: Scene, business: Business, rollout: dict[str, Any] | None = None) -> None:
    """Have all numbers hold the first key, and forget the calls that it took."""
    scene.put_key(keys.rsa())
    scene.apply(*business.secrets(), mixed(scene, business, rollout))
    scene.wait_ready()
    scene.simulator.forget_requests()
    for number in business.numbers:
        number.forget_requests()


def rotate(scene: Scene) -> None:
    """Put the new key into the Secret."""
    scene.put_key(keys.rsa(NEW))


def wait_spread(scene: Scene) -> None:
    """Wait until the status says that every number is signed with the new key."""
    scene.wait_for(
        lambda: (
            scene.ready()[0] == "True" and scene.get()["status"]["publicKeyFingerprint"] == keys.rsa(NEW).fingerprint
        ),
        "the new key is everywhere",
    )


def reasons(scene: Scene, numbers: Sequence[SignedNumber]) -> list[str]:
    """Return the reasons of the numbers' rows."""
    rows = scene.rows()
    return [rows[number.number]["reason"] for number in numbers]


def waiting(numbers: Sequence[SignedNumber], first: str) -> list[str]:
    """Return the reasons while all numbers but the first one wait."""
    return [first, *["WaitingForRollout"] * (len(numbers) - 1)]


def publishes(numbers: Sequence[SignedNumber]) -> list[int]:
    """Return how often each number was published to."""
    return [number.publishes for number in numbers]


def test_the_lowest_number_proves_a_new_key_before_the_others_get_it(
    scene: Scene, business: Business, numbers: list[SignedNumber]
) -> None:
    """Nobody is published to before the first number has answered that it is VALID for the new key."""
    start(scene, business)

    rotate(scene)
    wait_spread(scene)

    first, *others = numbers
    assert publishes(numbers) == [1] * 5
    proof = next(record.at for record in reversed(first.requests) if record.kind == "read")
    later = [record.at for number in others for record in number.requests if record.kind == "publish"]
    assert [record.kind for record in first.requests] == ["publish", "read"]
    assert proof < min(later)


def test_a_key_that_is_refused_reaches_one_number_only(
    scene: Scene, business: Business, numbers: list[SignedNumber]
) -> None:
    """The others keep the old key and its signature, Stalled has the reason, and a restart changes nothing."""
    start(scene, business)
    first, *others = numbers
    first.fail("publish", faults.error(1009), None)

    rotate(scene)
    scene.wait_for(lambda: "Stalled" in conditions(scene.get()), "a person is asked")
    scene.operator.kill()
    scene.operator.start()
    scene.apply(scene.manifest("later", [others[0].number]))
    scene.wait_for(lambda: scene.ready("later")[1] == "DuplicateNumber", "the operator is at work again")

    body = scene.get()
    assert publishes(numbers) == [1, 0, 0, 0, 0]
    assert reasons(scene, numbers) == waiting(numbers, "KeyRejected")
    assert all(number.holds(keys.rsa().public) for number in numbers)
    assert scene.kubectl("get", "bek", "flows", "--no-headers").split()[:4] == ["flows", "False", "0/5", "KeyRejected"]
    error = conditions(body)["Stalled"]["message"]
    assert error.startswith("1 of 5 numbers: the API rejects the public key")
    assert f"({first.number}); 4 waiting for the rollout until {first.number} is verified" in error
    assert "another number gets the new key first" in scene.rows()[others[0].number]["message"]

    first.heal()
    scene.check()
    wait_spread(scene)
    assert publishes(numbers) == [2, 1, 1, 1, 1]


def test_others_wait_without_anybody_having_to_act(
    scene: Scene, business: Business, numbers: list[SignedNumber]
) -> None:
    """While the first number is not VALID yet the object is in progress, and goes on by itself."""
    start(scene, business)
    first, *_ = numbers
    first.reads_until_valid = None

    rotate(scene)
    scene.wait_for(lambda: reasons(scene, numbers) == waiting(numbers, "Pending"), "the others wait")
    body = scene.get()
    first.release()
    wait_spread(scene)

    assert set(conditions(body)) == {"Ready", "Reconciling"}
    assert conditions(body)["Ready"]["reason"] == "Progressing"
    assert publishes(numbers) == [1] * 5


def test_a_first_number_that_cannot_be_reached_is_passed_over(
    scene: Scene, business: Business, numbers: list[SignedNumber]
) -> None:
    """What fails for reasons of its own proves nothing about the key, so the next number takes its place."""
    start(scene, business)
    first, second, *others = numbers
    first.fail("any", faults.CutOff(reset=True), None)

    rotate(scene)
    scene.wait_for(lambda: reasons(scene, numbers) == ["Unreachable", *["Signed"] * 4], "the others have the new key")

    assert second.requests[0].kind == "publish"
    assert second.requests[0].at < min(number.requests[0].at for number in others)
    first.heal()
    scene.check()
    wait_spread(scene)


def test_a_named_number_goes_first_and_the_others_leave_it_time(
    scene: Scene, business: Business, numbers: list[SignedNumber]
) -> None:
    """The number that the spec names is published to first, and the others `pauseSeconds` after it."""
    *others, named = numbers
    start(scene, business, {"firstNumber": {"phoneNumber": named.number, "pauseSeconds": 3}})

    rotate(scene)
    scene.wait_for(lambda: scene.ready()[1] == "WaitingForRollout", "the others wait")
    signed = scene.get()
    wait_spread(scene)

    assert (signed["status"]["signed"], conditions(signed)["Ready"]["reason"]) == ("1/5", "WaitingForRollout")
    assert set(conditions(signed)) == {"Ready", "Reconciling"}
    began = named.requests[0].at
    assert min(number.requests[-2].at for number in others) >= began + 2
    assert publishes(numbers) == [1] * 5


def test_with_all_at_once_nobody_waits(scene: Scene, business: Business, numbers: list[SignedNumber]) -> None:
    """A number that refuses the key holds up no other."""
    start(scene, business, {"type": "AllAtOnce"})
    numbers[-1].fail("publish", graph_error(100), None)

    rotate(scene)
    scene.wait_for(lambda: reasons(scene, numbers) == [*["Signed"] * 4, "KeyRejected"], "all but one are signed")

    assert publishes(numbers) == [1] * 5


def test_a_first_publication_waits_for_nobody(scene: Scene, business: Business, numbers: list[SignedNumber]) -> None:
    """Where no number holds another key there is nothing to lose, so one that refuses the key stands alone."""
    numbers[0].fail("publish", faults.error(1009), None)
    scene.put_key(keys.rsa())

    scene.apply(*business.secrets(), mixed(scene, business))
    scene.wait_for(lambda: "Stalled" in conditions(scene.get()), "the refusal is reported")

    assert reasons(scene, numbers) == ["KeyRejected", *["Signed"] * 4]
