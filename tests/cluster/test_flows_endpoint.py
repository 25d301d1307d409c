"""No key is published that the business's own Flow endpoint cannot open, and a broken endpoint is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.scene import Scene, conditions
from support.simulators import faults
from support.simulators.flows_endpoint import FlowsEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.simulators.exchange import Fault
    from support.simulators.flows_endpoint import Flaw

OLD, NEW = keys.rsa(), keys.rsa("second")
APP_SECRET = "an app secret"


@pytest.fixture(name="endpoint")
def endpoint_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds the old key and wants signatures."""
    with FlowsEndpoint(OLD, app_secret=APP_SECRET) as endpoint:
        yield endpoint
        assert endpoint.violations == []


def manifest(scene: Scene, endpoint: FlowsEndpoint, **spec: Any) -> dict[str, Any]:
    """Return an object for all numbers that names the endpoint."""
    flows = {
        "url": endpoint.url,
        "appSecretRef": {"name": "meta-app", "key": "secret"},
        "tls": {"caSecretRef": {"name": "flows-ca", "key": "ca.crt"}},
    }
    return scene.manifest(flowsEndpoint={**flows, **spec.pop("flows", {})}, **spec)


def begin(scene: Scene, endpoint: FlowsEndpoint, *, app_secret: str = APP_SECRET, **spec: Any) -> None:
    """Apply an object with all its Secrets."""
    scene.put_key(OLD)
    scene.put_secret("meta-app", {"secret": app_secret})
    scene.put_secret("flows-ca", {"ca.crt": endpoint.certificate.authority})
    scene.apply(manifest(scene, endpoint, **spec))


def wait_reason(scene: Scene, reason: str, seconds: float = 30) -> None:
    """Wait until Ready has a reason."""
    scene.wait_for(lambda: scene.ready()[1] == reason, reason, seconds)


def shown(scene: Scene) -> tuple[str, str, str]:
    """Return what the status shows of the endpoint, and what the condition."""
    body = scene.get()
    known, condition = body["status"]["flowsEndpoint"], conditions(body)["EndpointReady"]
    return known["reason"], known.get("openedFingerprint", ""), condition["status"]


def wait_rows(scene: Scene, reason: str) -> None:
    """Wait until every number has a reason."""
    scene.wait_for(lambda: [row["reason"] for row in scene.rows().values()] == [reason] * 3, f"rows are {reason}")


def publishes(scene: Scene) -> list[list[str]]:
    """Return the keys that were published to each number."""
    return [pod.published for pod in scene.simulator.pods.values()]


def events(scene: Scene) -> set[str]:
    """Return the reasons of all events."""
    return {reason for _, reason, _ in scene.events()}


def wait_event(scene: Scene, reason: str) -> None:
    """Wait for an event with a reason."""
    scene.wait_for(lambda: reason in events(scene), f"an event {reason}")


def test_a_first_key_is_published_when_the_endpoint_has_opened_it(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """By one signed ping."""
    begin(scene, endpoint)
    scene.wait_ready()
    assert [(ping.opened, ping.signed) for ping in endpoint.pings] == [(OLD.fingerprint, True)]
    assert scene.simulator.all_hold(OLD.public)
    assert shown(scene) == ("EndpointHoldsKey", OLD.fingerprint, "True")
    scene.wait_for(lambda: {"EndpointHoldsKey", "Published"} <= events(scene), "events")


def test_a_first_key_waits_for_an_endpoint_that_is_late(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """It is published seconds after the endpoint has it."""
    endpoint.lose(OLD)
    begin(scene, endpoint)
    wait_reason(scene, "EndpointLacksKey")
    assert {row["reason"] for row in scene.rows().values()} == {"WaitingForEndpoint"}
    assert shown(scene) == ("EndpointLacksKey", "", "False")
    assert publishes(scene) == [[], [], []]
    wait_event(scene, "EndpointLacksKey")
    endpoint.hold(OLD)
    scene.wait_ready(seconds=20)
    assert scene.simulator.all_hold(OLD.public)


def test_a_rotation_in_the_wrong_order_changes_no_number(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """Whatever else is changed meanwhile; then the endpoint gets the key, and so do the numbers."""
    begin(scene, endpoint)
    scene.wait_ready()
    scene.put_key(NEW)
    wait_reason(scene, "EndpointLacksKey")
    scene.change(intervalSeconds=700)
    scene.operator.stop()
    scene.operator.start()
    scene.check()
    assert scene.ready() == ("False", "EndpointLacksKey")
    assert shown(scene) == ("EndpointLacksKey", OLD.fingerprint, "False")
    assert scene.simulator.all_hold(OLD.public)
    assert publishes(scene) == [[OLD.fingerprint]] * 3
    endpoint.hold(NEW)
    scene.request_check("now")
    scene.wait_for(lambda: scene.simulator.all_hold(NEW.public), "the new key is everywhere")
    scene.wait_ready()
    assert publishes(scene) == [[OLD.fingerprint, NEW.fingerprint]] * 3
    assert "EndpointLacksKey" in events(scene)


def test_a_rotated_key_is_published_after_the_first_ping_that_opens(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """However often the endpoint lacked it before; no second proof is needed."""
    begin(scene, endpoint)
    scene.wait_ready()
    endpoint.forget_pings()
    scene.put_key(NEW)
    wait_rows(scene, "WaitingForEndpoint")
    wait_reason(scene, "EndpointLacksKey")
    scene.check()
    scene.check()
    assert publishes(scene) == [[OLD.fingerprint]] * 3
    endpoint.hold(NEW)
    scene.request_check("the endpoint has it")
    scene.wait_ready()
    # It was asked for the old key, too, which numbers still held.
    *refused, opened = [ping for ping in endpoint.pings if ping.opened != OLD.fingerprint]
    assert {ping.status for ping in refused} == {421}
    assert len(refused) >= 3
    assert opened.opened == NEW.fingerprint
    assert publishes(scene) == [[OLD.fingerprint, NEW.fingerprint]] * 3


def test_a_kill_while_a_key_waits_publishes_nothing(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """The next process goes on waiting; then every number gets the key once."""
    begin(scene, endpoint)
    scene.wait_ready()
    scene.put_key(NEW)
    wait_rows(scene, "WaitingForEndpoint")
    kill_and_go_on(scene, endpoint)


def test_a_kill_before_the_answer_to_a_ping_leaves_no_proof(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """The endpoint opened it and nobody learned of it; it has lost the key when the next process asks."""
    begin(scene, endpoint)
    scene.wait_ready()
    endpoint.hold(NEW)
    endpoint.fail(faults.Hang(carried_out=True))
    scene.put_key(NEW)
    endpoint.wait_until(lambda: endpoint.pings[-1].opened == NEW.fingerprint, 30, "the ping")
    kill_and_go_on(scene, endpoint)


def kill_and_go_on(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """Kill the operator, start it with an endpoint that lacks the new key, and give the endpoint the key."""
    scene.operator.kill()
    endpoint.lose(NEW)
    endpoint.forget_pings()
    scene.operator.start()
    endpoint.wait_until(lambda: any(ping.status == 421 for ping in endpoint.pings), 30, "a ping")
    scene.check()
    wait_reason(scene, "EndpointLacksKey")
    wait_rows(scene, "WaitingForEndpoint")
    assert shown(scene) == ("EndpointLacksKey", OLD.fingerprint, "False")
    assert publishes(scene) == [[OLD.fingerprint]] * 3
    endpoint.hold(NEW)
    scene.request_check("the endpoint has it")
    scene.wait_ready()
    assert shown(scene) == ("EndpointHoldsKey", NEW.fingerprint, "True")
    assert publishes(scene) == [[OLD.fingerprint, NEW.fingerprint]] * 3


def test_an_endpoint_that_loses_the_key_is_seen_and_no_number_is_touched(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """Flows are broken, though all numbers are signed."""
    begin(scene, endpoint, intervalSeconds=10)
    scene.wait_ready()
    endpoint.lose(OLD)
    wait_reason(scene, "EndpointLacksKey")
    assert scene.get()["status"]["signed"] == "3/3"
    assert shown(scene) == ("EndpointLacksKey", "", "False")
    wait_event(scene, "EndpointLacksKey")
    endpoint.hold(OLD)
    scene.wait_ready()
    assert publishes(scene) == [[OLD.fingerprint]] * 3


def test_a_key_that_the_endpoint_loses_during_a_rollout_goes_to_no_further_number(
    scene: Scene, endpoint: FlowsEndpoint
) -> None:
    """Whatever comes in between; a signature that is lost on the number that has the key is repaired."""
    begin(scene, endpoint, rollout={"firstNumber": {"pauseSeconds": 3600}}, intervalSeconds=10)
    scene.wait_ready()
    endpoint.hold(NEW)
    scene.put_key(NEW)
    scene.wait_for(lambda: [row["reason"] for row in scene.rows().values()].count("WaitingForRollout") == 2, "a pause")
    endpoint.lose(NEW)
    wait_reason(scene, "EndpointLacksKey")
    assert shown(scene) == ("EndpointLacksKey", "", "False")
    wait_event(scene, "EndpointLacksKey")
    first, *others = scene.simulator.pods.values()
    first.re_register()
    scene.change(rollout={"firstNumber": {"pauseSeconds": 0}})
    scene.wait_for(lambda: len(first.published) == 3, "a repair")
    scene.operator.stop()
    scene.operator.start()
    scene.request_check("now")
    scene.wait_for(lambda: scene.get()["status"].get("lastHandledReconcileAt") == "now", "a check of all")
    assert [row["reason"] for row in scene.rows().values()].count("WaitingForEndpoint") == 2
    assert [pod.published for pod in others] == [[OLD.fingerprint]] * 2
    endpoint.hold(NEW)
    scene.wait_for(lambda: scene.simulator.all_hold(NEW.public), "the new key is everywhere", 60)
    scene.wait_ready()


def test_a_wrong_app_secret_is_not_taken_for_a_wrong_key(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """The corrected Secret heals it at once."""
    begin(scene, endpoint)
    scene.put_secret("meta-app", {"secret": "another"})
    scene.request_check("now")
    wait_reason(scene, "EndpointSignatureRefused")
    assert "app secret" in conditions(scene.get())["Ready"]["message"]
    assert shown(scene)[::2] == ("EndpointSignatureRefused", "False")
    wait_event(scene, "EndpointSignatureRefused")
    scene.put_secret("meta-app", {"secret": APP_SECRET})
    scene.wait_ready(seconds=10)


def test_a_wrong_app_secret_keeps_a_first_key_back(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """The endpoint holds the key, and refuses every ping before it decrypts."""
    begin(scene, endpoint, app_secret="another")
    wait_reason(scene, "EndpointSignatureRefused")
    wait_rows(scene, "WaitingForEndpoint")
    assert shown(scene) == ("EndpointSignatureRefused", "", "False")
    assert publishes(scene) == [[], [], []]
    wait_event(scene, "EndpointSignatureRefused")
    scene.put_secret("meta-app", {"secret": APP_SECRET})
    scene.wait_ready()
    assert publishes(scene) == [[OLD.fingerprint]] * 3


def test_a_wrong_app_secret_keeps_a_rotated_key_back(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """Numbers keep the old key, though the endpoint holds both."""
    begin(scene, endpoint)
    scene.wait_ready()
    endpoint.hold(NEW)
    scene.put_secret("meta-app", {"secret": "another"})
    scene.put_key(NEW)
    wait_rows(scene, "WaitingForEndpoint")
    wait_reason(scene, "EndpointSignatureRefused")
    assert shown(scene)[::2] == ("EndpointSignatureRefused", "False")
    assert publishes(scene) == [[OLD.fingerprint]] * 3
    wait_event(scene, "EndpointSignatureRefused")
    scene.put_secret("meta-app", {"secret": APP_SECRET})
    scene.wait_ready()
    assert publishes(scene) == [[OLD.fingerprint, NEW.fingerprint]] * 3


@pytest.mark.parametrize("flaw", ["in the clear", "vector not inverted", "AES-256"])
def test_a_fault_of_the_protocol_keeps_a_new_key_back(scene: Scene, endpoint: FlowsEndpoint, flaw: Flaw) -> None:
    """The message names it."""
    endpoint.flaw = flaw
    begin(scene, endpoint)
    wait_reason(scene, "EndpointInvalidAnswer")
    assert shown(scene) == ("EndpointInvalidAnswer", "", "False")
    assert publishes(scene) == [[], [], []]
    wait_event(scene, "EndpointInvalidAnswer")
    endpoint.heal()
    scene.request_check("now")
    scene.wait_ready(seconds=10)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.Hang(), "EndpointUnreachable"),
        (faults.Endless(), "EndpointInvalidAnswer"),
        (faults.redirect("https://127.0.0.1:1/"), "EndpointInvalidAnswer"),
        (faults.CutOff(), "EndpointUnreachable"),
    ],
    ids=["hangs", "endless", "redirects", "cuts"],
)
def test_a_fault_of_the_server_keeps_a_new_key_back(
    scene: Scene, endpoint: FlowsEndpoint, fault: Fault, reason: str
) -> None:
    """Within Meta's own limit of ten seconds, and without reading more than a ping's answer needs."""
    endpoint.fail(fault, times=None)
    begin(scene, endpoint)
    wait_reason(scene, reason)
    assert shown(scene) == (reason, "", "False")
    assert publishes(scene) == [[], [], []]
    wait_event(scene, reason)
    endpoint.heal()
    scene.request_check("now")
    scene.wait_ready(seconds=15)


def test_an_endpoint_that_loses_the_old_key_too_early_has_the_pause_cut_short(
    scene: Scene, endpoint: FlowsEndpoint
) -> None:
    """Flows on numbers with the old key are broken, so they get the new one at once; an event says why."""
    begin(scene, endpoint, rollout={"firstNumber": {"pauseSeconds": 3600}}, intervalSeconds=10)
    scene.wait_ready()
    endpoint.hold(NEW)
    scene.put_key(NEW)
    scene.wait_for(lambda: [row["reason"] for row in scene.rows().values()].count("WaitingForRollout") == 2, "a pause")
    endpoint.lose(OLD)
    scene.wait_for(lambda: scene.simulator.all_hold(NEW.public), "the new key is everywhere")
    scene.wait_ready()
    wait_event(scene, "EndpointLacksOldKey")


def test_with_the_policy_report_the_key_is_published_and_the_condition_tells(
    scene: Scene, endpoint: FlowsEndpoint
) -> None:
    """Ready is as without an endpoint."""
    endpoint.lose(OLD)
    begin(scene, endpoint, flows={"policy": "Report"})
    scene.wait_ready()
    scene.wait_for(lambda: shown(scene)[::2] == ("EndpointLacksKey", "False"), "the condition tells")
    assert scene.simulator.all_hold(OLD.public)
    wait_event(scene, "EndpointLacksKey")


def test_nothing_of_a_ping_is_in_the_log(scene: Scene, endpoint: FlowsEndpoint) -> None:
    """Neither app secret nor signature, nor the key of the session, also at the level debug."""
    begin(scene, endpoint)
    scene.wait_ready()
    log = scene.log_text()
    assert APP_SECRET not in log
    assert "sha256=" not in log
    assert "encrypted_" not in log
