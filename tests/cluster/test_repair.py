"""Numbers that lose their key or signature, publish back-off, suspension, and numbers listed twice."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from support import keys
from support.cluster.scene import Scene, conditions
from support.simulators.pod import Pod


@pytest.fixture
def pod(scene: Scene) -> Pod:
    """Provide the pod of the first number."""
    return next(iter(scene.simulator.pods.values()))


@pytest.fixture
def neighbour(scene: Scene) -> Iterator[Scene]:
    """Provide another namespace, whose numbers live on the same pods."""
    other = Scene(scene.api_server, f"{scene.namespace}-too", scene.simulator, scene.operator)
    scene.api_server.kubectl("create", "namespace", other.namespace)
    other.put_access()
    yield other
    other.kubectl("delete", "bek,secrets", "--all", "--wait=false")


def start(scene: Scene, *pods: Pod) -> None:
    """Have numbers hold the first key, and forget the calls that it took."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[pod.number for pod in pods]))
    scene.wait_ready()
    scene.simulator.forget_requests()


def have_them_checked(scene: Scene, password: str) -> None:
    """Make the operator check the numbers of its own accord, by another password."""
    for pod in scene.simulator.pods.values():
        pod.password = password
    scene.put_access(password)


def stalled(scene: Scene, reason: str, name: str = "flows") -> bool:
    """Return whether an object is Stalled for this reason."""
    found = conditions(scene.get(name))
    return set(found) == {"Ready", "Stalled"} and found["Ready"]["reason"] == found["Stalled"]["reason"] == reason


def is_handled(scene: Scene, value: str) -> bool:
    """Return whether this request for a check was handled."""
    return scene.handled() == value


def is_signed_again(scene: Scene, pod: Pod, publishes: int) -> bool:
    """Return whether the status says that a number is signed after so many publishes."""
    row = scene.rows()[pod.number]
    return (row["reason"], row.get("publishes")) == ("Signed", publishes)


LOSSES: dict[str, tuple[Callable[[Pod], None], str, str]] = {
    "the number was registered anew": (Pod.re_register, "StaleSignature", "the signature was no longer VALID on"),
    "somebody else published": (
        lambda pod: pod.overwrite(keys.rsa("rival").public),
        "ForeignKey",
        "another key had been published to",
    ),
    "a text that is no key took its place": (
        lambda pod: pod.hold("YOUR_PUBLIC_KEY", valid=False),
        "ForeignKey",
        "another key had been published to",
    ),
    "the pod lost its database": (Pod.lose_key, "NotPublished", "the API no longer held the key of"),
}


@pytest.mark.parametrize(("lose", "reason", "message"), LOSSES.values(), ids=LOSSES.keys())
def test_a_loss_is_repaired_at_the_next_check_and_reported(
    scene: Scene, pod: Pod, lose: Callable[[Pod], None], reason: str, message: str
) -> None:
    """The key is published once more to the number that lacks it, and an event names the cause."""
    start(scene, *scene.simulator.pods.values())
    lose(pod)

    have_them_checked(scene, "Another-Horse-8")
    pod.wait_until(lambda: pod.holds(keys.rsa().public), what="the key is back")
    scene.check()

    assert scene.ready() == ("True", "Succeeded")
    assert (pod.publishes, scene.simulator.publishes) == (1, 1)
    expected = ("Warning", reason, f"{message} {pod.number}; published the key again")
    scene.wait_for(lambda: expected in scene.events(), f"the event {expected}")


def test_a_key_that_is_overwritten_again_and_again_is_defended_three_times(scene: Scene, pod: Pod) -> None:
    """After three publishes the back-off begins and the object is Stalled; the annotation makes it try once more."""
    start(scene, pod)
    for turn in range(3):
        pod.overwrite(keys.rsa("rival").public)
        have_them_checked(scene, f"Password-{turn}")
        if turn < 2:
            scene.wait_for(partial(is_signed_again, scene, pod, turn + 2), "the key is back")
    scene.wait_for(lambda: stalled(scene, "Contended"), "the fight is reported")

    row = scene.rows()[pod.number]
    assert pod.publishes == 2
    assert (row["publishes"], row["signatureStatus"]) == (3, "VALID")
    assert row["observedFingerprint"] == keys.rsa("rival").fingerprint
    assert "another client keeps publishing" in row["message"]

    scene.check()
    scene.wait_ready()
    assert pod.holds(keys.rsa().public)
    assert scene.rows()[pod.number]["publishes"] == 1


def test_a_key_that_is_replaced_the_moment_it_arrives_is_not_published_in_a_loop(scene: Scene, pod: Pod) -> None:
    """Another client that replaces every publish at once does not cause a loop."""
    pod.rival = keys.rsa("rival").public
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[pod.number]))
    pod.wait_until(lambda: pod.reads >= 3, what="a growing number of looks at it")
    scene.wait_for(lambda: scene.reason(pod.number) == "Pending", "the publish is given time")

    assert pod.publishes == 1
    assert set(conditions(scene.get())) == {"Ready", "Reconciling"}
    assert "still shows another one" in scene.rows()[pod.number]["message"]


def test_a_key_that_becomes_valid_later_is_published_once(scene: Scene, pod: Pod) -> None:
    """An accepted key is waited for; the number goes from Pending to Signed without another publish."""
    pod.reads_until_valid = None
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_for(lambda: scene.rows().get(pod.number, {}).get("publishes") == 1, "the publish is on record")
    waiting = scene.get()

    pod.release()
    scene.wait_ready()

    assert scene.reason(pod.number) == "Signed"
    assert pod.publishes == 1
    (row,) = waiting["status"]["phoneNumbers"]
    assert (row["reason"], row["signatureStatus"]) == ("Pending", "MISMATCH")
    assert row["message"] == "the API accepted the key; its signature is not VALID yet"
    assert conditions(waiting)["Ready"]["reason"] == "Progressing"
    assert set(conditions(waiting)) == {"Ready", "Reconciling"}


def test_an_object_that_never_publishes_reports(scene: Scene) -> None:
    """With publishPolicy Never each number's state is reported and left as it is, until the policy changes."""
    good, foreign, empty = scene.simulator.pods.values()
    good.overwrite(keys.rsa().public)
    foreign.overwrite(keys.rsa("rival").public)
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(publishPolicy="Never"))
    scene.wait_for(lambda: stalled(scene, "NotPublished"), "a person is asked")

    assert {number: row["reason"] for number, row in scene.rows().items()} == {
        good.number: "Signed",
        foreign.number: "ForeignKey",
        empty.number: "NotPublished",
    }
    assert scene.get()["status"]["signed"] == "1/3"
    assert scene.simulator.publishes == 0

    scene.change(publishPolicy="IfNeeded")
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.rsa().public)
    assert good.publishes == 0


def test_a_suspended_object_calls_nobody_and_goes_on_when_resumed(scene: Scene) -> None:
    """A suspended object keeps what is known, claims nothing else, and calls nobody."""
    start(scene, *scene.simulator.pods.values())

    scene.change(suspend=True)
    assert scene.ready() == ("True", "Succeeded")

    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: scene.ready() == ("False", "Suspended"), "the new key is not claimed")
    scene.request_check("in vain")
    scene.change(intervalSeconds=700)
    assert scene.ready() == ("False", "Suspended")
    assert set(conditions(scene.get())) == {"Ready"}
    assert scene.handled() == ""
    assert scene.simulator.requests == []

    scene.change(suspend=False)
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.rsa("second").public)
    assert scene.handled() == "in vain"


def test_a_request_for_a_check_is_echoed_when_it_is_handled(scene: Scene, pod: Pod) -> None:
    """Every number was checked when the annotation's value, or the digest of a long one, is in the status."""
    start(scene, pod)

    for count, value in enumerate(("2026-11-22T10:00:00Z", "x" * 64, "x" * 65, "ü" * 2000), start=1):
        expected = value if len(value) <= 64 else hashlib.sha256(value.encode()).hexdigest()
        scene.request_check(value)
        scene.wait_for(partial(is_handled, scene, expected), f"the echo of {value[:70]}")
        assert [record.kind for record in pod.requests] == ["read"] * count


def test_of_two_numbers_at_one_endpoint_the_lower_is_called(scene: Scene, pod: Pod) -> None:
    """Two entries of an object that lead to one pod are not counted twice; the higher one says so."""
    lower, higher, _ = scene.simulator.pods
    scene.put_key(keys.rsa())

    scene.apply(
        scene.manifest(
            apis=[scene.api("one", pod.url), scene.api("other", pod.url)],
            phoneNumbers=[{"phoneNumber": higher, "api": "one"}, {"phoneNumber": lower, "api": "other"}],
        )
    )
    scene.wait_for(lambda: stalled(scene, "DuplicateNumber"), "the duplicate is reported")

    assert scene.get()["status"]["signed"] == "1/2"
    assert scene.reason(lower) == "Signed"
    assert scene.rows()[higher]["message"] == f"same endpoint as {lower} of this object; remove one of them"
    assert pod.publishes == 1


def give_way_by_deletion(scene: Scene) -> None:
    """Remove the older object."""
    scene.kubectl("delete", "bek", "a-older")


def give_way_by_suspension(scene: Scene) -> None:
    """Suspend the older object."""
    scene.change("a-older", suspend=True)


@pytest.mark.parametrize("give_way", [give_way_by_deletion, give_way_by_suspension])
def test_of_two_objects_with_one_number_the_older_has_it_until_it_gives_way(
    scene: Scene, pod: Pod, give_way: Callable[[Scene], None]
) -> None:
    """The younger object says who has the number and leaves it alone, and takes over when it is free."""
    scene.put_key(keys.rsa())
    scene.put_key(keys.rsa("second"), "younger-key")
    scene.apply(scene.manifest("a-older", [pod.number]))
    scene.wait_ready("a-older")

    scene.apply(scene.manifest("b-younger", [pod.number], keySecretRef={"name": "younger-key"}))
    scene.wait_for(lambda: stalled(scene, "DuplicateNumber", "b-younger"), "the duplicate is reported")
    assert "managed by the older BusinessEncryptionKey a-older" in scene.rows("b-younger")[pod.number]["message"]
    assert pod.published == [keys.rsa().fingerprint]

    give_way(scene)
    scene.wait_ready("b-younger")
    assert pod.published == [keys.rsa().fingerprint, keys.rsa("second").fingerprint]


def test_an_older_object_that_is_resumed_has_its_number_back(scene: Scene, pod: Pod) -> None:
    """The object that took over gives the number back."""
    scene.put_key(keys.rsa())
    scene.put_key(keys.rsa("second"), "younger-key")
    scene.apply(
        scene.manifest("a-older", [pod.number], suspend=True),
        scene.manifest("b-younger", [pod.number], keySecretRef={"name": "younger-key"}),
    )
    scene.wait_ready("b-younger")

    scene.change("a-older", suspend=False)
    scene.wait_ready("a-older")
    scene.wait_for(lambda: stalled(scene, "DuplicateNumber", "b-younger"), "the other steps back")

    assert pod.holds(keys.rsa().public)
    assert scene.ready("a-older") == ("True", "Succeeded")


def test_other_namespaces_are_not_looked_at(scene: Scene, neighbour: Scene, pod: Pod) -> None:
    """Two objects in two namespaces may have one number; nothing of either is shown in the other."""
    for one in (scene, neighbour):
        one.put_key(keys.rsa())
        one.apply(one.manifest(numbers=[pod.number]))
        one.wait_ready()

    assert [scene.ready(), neighbour.ready()] == [("True", "Succeeded")] * 2
    assert pod.publishes == 1
