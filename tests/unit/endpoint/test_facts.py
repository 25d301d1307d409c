"""The facts about a Flow endpoint: what each answer, change and restart makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bek_operator.crd.reasons import EndpointReason, Reason
from bek_operator.crd.status import ENDPOINT_READY, READY, STALLED, Condition, EndpointStatus, Row, Rows, Status
from bek_operator.crd.types import FlowsEndpoint, SignatureStatus
from bek_operator.endpoint.facts import (
    HOLDS_KEY,
    NOT_ASKED,
    EndpointFacts,
    EndpointVerdict,
    after_answer,
    after_earlier,
    expired,
    restored,
    with_target,
)
from bek_operator.endpoint.judge import HOLDS_KEY as OPENED
from bek_operator.endpoint.judge import Answer
from bek_operator.endpoint.target import EndpointTarget, endpoint_target
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import parse_url
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.secret_str import SecretStr
from support.builders import (
    NAMESPACE,
    NOW,
    NUMBER,
    egress,
    failure,
    public_key,
    resource,
    spec_body,
    spec_of,
)
from support.builders import target as number_target

MINUTE = 60.0
URL = "https://flows/whatsapp"
LACKS = Answer(reason=EndpointReason.LACKS_KEY, message="HTTP 421")
BROKEN = Answer(reason=EndpointReason.INVALID_ANSWER, message="HTTP 400")
AWAY = Answer(reason=EndpointReason.UNREACHABLE, message="no answer", certain=False)
MISSING = failure(Reason.CREDENTIALS_NOT_FOUND, "Secret meta-app does not exist")
OURS, OTHER = public_key(), public_key("other")


def endpoint(signed_with: str = "app secret") -> FlowEndpoint:
    """Return an endpoint."""
    trust = ServerTrust(ca_bundle=None, server_name="flows", tenant=NAMESPACE)
    return FlowEndpoint(
        url=parse_url("https://flows.messaging.svc/whatsapp"), trust=trust, app_secret=SecretStr(signed_with)
    )


def aim(**more: Any) -> EndpointTarget:
    """Return a target; `more` are members of it."""
    members: dict[str, Any] = {"address": URL, "endpoint": endpoint(), "problem": None, "key": OURS, "gate": True}
    return EndpointTarget(**{**members, "interval": 600.0, **more})


def asked(*answers: Answer, after: float = 0.0, every: float = 1.0, **more: Any) -> EndpointFacts:
    """Return the facts after these answers, so many seconds apart."""
    facts = EndpointFacts(target=aim(**more))
    for index, answer in enumerate(answers):
        facts = after_answer(facts, answer, NOW + after + index * every, 0.5)
    return facts


def shown(facts: EndpointFacts) -> tuple[str, Retry | None]:
    """Return the reason, and who must act."""
    return facts.verdict.reason, facts.verdict.retry


def test_nothing_is_known_before_the_first_answer() -> None:
    """A new key waits for it."""
    facts = EndpointFacts(target=aim())
    assert (facts.verdict, facts.is_unfinished, facts.holds_back) == (NOT_ASKED, True, True)
    assert facts.shown.opened is None


def test_an_opened_ping_lets_the_key_pass_until_the_endpoint_lacks_it() -> None:
    """Not when the endpoint fails otherwise; it is asked at the interval."""
    facts = asked(OPENED)
    assert (facts.verdict, facts.opened, facts.due) == (HOLDS_KEY, OURS.fingerprint, NOW + 600)
    assert not facts.holds_back
    assert not after_answer(facts, BROKEN, NOW, 0.5).holds_back
    later = after_answer(facts, LACKS, NOW, 0.5)
    assert (later.holds_back, later.opened, shown(later)) == (True, None, (EndpointReason.LACKS_KEY, Retry.TRANSIENT))
    assert after_answer(later, AWAY, NOW, 0.5).holds_back
    assert not after_answer(later, OPENED, NOW, 0.5).holds_back
    assert not asked(LACKS, gate=False).holds_back


def test_a_key_that_it_lacks_takes_no_proof_from_another_one() -> None:
    """Until it lacks that one, too."""
    rotated = after_answer(with_target(asked(OPENED), aim(key=OTHER), NOW), LACKS, NOW, 0.5)
    assert rotated.opened == OURS.fingerprint
    assert after_earlier(rotated, []).opened == OURS.fingerprint
    assert after_earlier(rotated, [OURS.fingerprint]).opened is None


def test_failed_pings_are_repeated_ever_more_slowly() -> None:
    """From five seconds to a minute."""
    dues = [asked(*[LACKS] * count, every=0.0).due - NOW for count in range(1, 7)]
    assert dues == [5, 10, 20, 40, 60, 60]


def test_an_earlier_key_that_was_lost_is_told_beside_the_current_one() -> None:
    """The current key counts first."""
    facts = after_answer(EndpointFacts(target=aim()), OPENED, NOW, 0.5, [OTHER.fingerprint])
    assert facts.asks_earlier
    lost = after_earlier(facts, [OTHER.fingerprint])
    assert (lost.asks_earlier, lost.verdict.holds_key) == (False, True)
    assert shown(lost) == (EndpointReason.LACKS_OLD_KEY, None)
    assert OTHER.key_id in lost.verdict.message
    neither = after_earlier(after_answer(lost, LACKS, NOW, 0.5), [OTHER.fingerprint])
    assert shown(neither) == (EndpointReason.LACKS_KEY, Retry.TRANSIENT)
    assert neither.verdict.message.startswith("HTTP 421; it does not open earlier key")
    assert after_earlier(lost, []).verdict == HOLDS_KEY


@pytest.mark.parametrize("answer", [OPENED, LACKS])
def test_it_is_asked_for_earlier_keys_at_the_interval_of_the_numbers(answer: Answer) -> None:
    """Not at each try, unless they change, or a user wants to know; and after no answer that is about no key."""
    earlier = [OTHER.fingerprint]
    first = after_earlier(after_answer(EndpointFacts(target=aim()), answer, NOW, 0.5, earlier), [])
    assert (first.asks_earlier, first.ask_at) == (False, first.due)
    assert not after_answer(first, answer, NOW + 5, 0.5, earlier).asks_earlier
    assert after_answer(first, answer, NOW + 5, 0.5, [*earlier, "sha256:00"]).asks_earlier
    assert after_answer(first, answer, NOW + 540, 0.5, earlier).asks_earlier
    assert not after_answer(first, AWAY, NOW + 540, 0.5, earlier).asks_earlier
    assert not after_answer(first, answer, NOW + 540, 0.5).asks_earlier
    requested = with_target(first, aim(request="now"), NOW + 5)
    again = after_answer(requested, answer, NOW + 5, 0.5, earlier)
    assert (again.asks_earlier, again.ask_at) == (True, 0.0)


def test_a_retry_after_is_obeyed_whatever_changes() -> None:
    """Its reason is shown for another key, too, if it is one; another address knows nothing of it."""
    busy = replace(AWAY, retry_after=900.0)
    facts = asked(busy)
    assert facts.ask_at == NOW + 900
    for change in ({"request": "now"}, {"key": OTHER}, {"endpoint": endpoint("new")}):
        assert with_target(facts, aim(**change), NOW + 10).ask_at == NOW + 900
    assert shown(with_target(facts, aim(key=OTHER), NOW + 10)) == (EndpointReason.UNREACHABLE, Retry.TRANSIENT)
    assert with_target(asked(OPENED, busy), aim(key=OTHER), NOW + 10).verdict == NOT_ASKED
    assert with_target(facts, aim(address="https://others"), NOW + 10).ask_at == NOW + 10
    earlier = after_earlier(asked(OPENED), [], NOW + 1000)
    assert earlier.ask_at == NOW + 1000


def test_after_ten_minutes_the_user_must_act() -> None:
    """Counted to the last answer, so that nothing changes without one."""
    assert shown(asked(LACKS, LACKS, every=9.9 * MINUTE)) == (EndpointReason.LACKS_KEY, Retry.TRANSIENT)
    late = asked(LACKS, LACKS, every=10 * MINUTE)
    assert shown(late) == (EndpointReason.LACKS_KEY, Retry.TERMINAL)
    assert late.verdict.needs_user
    assert after_answer(late, OPENED, NOW, 0.5).verdict == HOLDS_KEY


def test_an_endpoint_that_held_the_key_may_fail_for_a_while() -> None:
    """Three times and five minutes, unless an answer is certain, or something had changed."""
    assert asked(OPENED, AWAY, AWAY, AWAY, AWAY).verdict == HOLDS_KEY
    assert asked(OPENED, AWAY, AWAY, every=400.0).verdict == HOLDS_KEY
    assert shown(asked(OPENED, AWAY, AWAY, AWAY, every=150.0)) == (EndpointReason.UNREACHABLE, Retry.TRANSIENT)
    assert shown(asked(OPENED, AWAY, LACKS)) == (EndpointReason.LACKS_KEY, Retry.TRANSIENT)
    assert shown(asked(OPENED, LACKS, AWAY)) == (EndpointReason.UNREACHABLE, Retry.TRANSIENT)
    assert shown(asked(AWAY)) == (EndpointReason.UNREACHABLE, Retry.TRANSIENT)
    requested = with_target(asked(OPENED), aim(request="now"), NOW)
    assert shown(after_answer(requested, AWAY, NOW, 0.5)) == (EndpointReason.UNREACHABLE, Retry.TRANSIENT)


@pytest.mark.parametrize(("interval", "kept"), [(600.0, 300.0), (60.0, 60.0)])
def test_another_message_of_the_same_reason_waits_as_long_as_a_number_does(interval: float, kept: float) -> None:
    """Another reason shows at once, and so does the answer after a change or a request."""
    teapot = Answer(reason=BROKEN.reason, message="HTTP 418")
    facts = asked(BROKEN, interval=interval)
    assert after_answer(facts, teapot, NOW + kept - 1, 0.5).verdict.message == "HTTP 400"
    later = after_answer(after_answer(facts, teapot, NOW + kept - 1, 0.5), teapot, NOW + kept, 0.5)
    assert later.verdict.message == "HTTP 418"
    assert after_answer(facts, LACKS, NOW + 5, 0.5).verdict.message == "HTTP 421"
    requested = with_target(facts, aim(interval=interval, request="now"), NOW + 1)
    assert after_answer(requested, teapot, NOW + 2, 0.5).verdict.message == "HTTP 418"


def test_a_problem_of_the_spec_shows_at_once() -> None:
    """And hides what was known; afterwards the endpoint is asked."""
    facts = asked(OPENED)
    blocked = with_target(facts, aim(endpoint=None, problem=MISSING), NOW)
    assert shown(blocked) == (Reason.CREDENTIALS_NOT_FOUND, Retry.TRANSIENT)
    assert (blocked.opened, blocked.is_unfinished) == (OURS.fingerprint, False)
    again = with_target(blocked, aim(), NOW + 9)
    assert (again.verdict, again.observed, again.due, again.opened) == (NOT_ASKED, False, NOW + 9, OURS.fingerprint)


def test_nothing_changes_for_the_same_target() -> None:
    """The very same facts."""
    facts = asked(OPENED)
    assert with_target(facts, aim(), NOW) is facts


@pytest.mark.parametrize(
    ("change", "verdict", "observed", "opened"),
    [
        ({"address": "https://others"}, NOT_ASKED, False, None),
        ({"key": OTHER}, NOT_ASKED, False, OURS.fingerprint),
        ({"endpoint": endpoint("new")}, HOLDS_KEY, True, OURS.fingerprint),
        ({"request": "now"}, HOLDS_KEY, True, OURS.fingerprint),
    ],
    ids=["address", "key", "secret", "request"],
)
def test_a_change_has_the_endpoint_asked_at_once(
    change: dict[str, Any], verdict: EndpointVerdict, opened: str | None, *, observed: bool
) -> None:
    """What it has opened it has opened, but at its own address only."""
    known = with_target(asked(OPENED), aim(**change), NOW + 1)
    assert (known.verdict, known.observed, known.opened, known.due) == (verdict, observed, opened, NOW + 1)
    assert known.check_requested == ("request" in change)


def test_a_failing_endpoint_with_another_secret_is_a_new_one() -> None:
    """Its fault may be gone; a request shows the fault until the answer."""
    failing = asked(LACKS)
    assert with_target(failing, aim(endpoint=endpoint("new")), NOW).verdict == NOT_ASKED
    assert shown(with_target(failing, aim(request="now"), NOW)) == (EndpointReason.LACKS_KEY, Retry.TRANSIENT)


def test_another_interval_or_policy_asks_nobody() -> None:
    """It counts from now."""
    known = with_target(asked(OPENED), aim(interval=60.0, gate=False), NOW + 10)
    assert (known.verdict, known.due, known.observed) == (HOLDS_KEY, NOW + 70, True)


def test_an_endpoint_that_was_not_asked_for_a_while_shows_what_it_did() -> None:
    """Until it is asked, which is at once."""
    known = expired(asked(OPENED), NOW + 5)
    assert (known.verdict, known.observed, known.due) == (HOLDS_KEY, False, NOW + 5)
    assert known.opened == OURS.fingerprint


HOLDING = {"EndpointHoldsKey", "EndpointLacksOldKey"}


def recorded(
    reason: str = "EndpointHoldsKey",
    *,
    message: str = "",
    opened: str | None = OURS.fingerprint,
    stalled: bool = False,
    since: float | None = NOW - 60,
    **more: Any,
) -> Status:
    """Return a status that was written for generation 1."""
    generation = more.pop("asked_in", more.get("generation", 1))
    ready = Condition(type=ENDPOINT_READY, true=reason in HOLDING, reason=reason, since=since, generation=generation)
    conditions = [Condition(type=READY, true=False, reason=reason), ready]
    if stalled:
        conditions.append(Condition(type=STALLED, true=True, reason=reason))
    members: dict[str, Any] = {
        "generation": 1,
        "conditions": tuple(conditions),
        "fingerprint": OURS.fingerprint,
        "endpoint": EndpointStatus(reason=reason, message=message, opened=opened),
        **more,
    }
    return Status(**members)


def restart(status: Status, target: EndpointTarget | None = None) -> EndpointFacts:
    """Return the facts after a restart."""
    return restored(target or aim(), status, 1, now=NOW, due=NOW + 300)


def test_a_restart_shows_what_was_shown_and_asks_at_the_due_time() -> None:
    """What was opened needs no proof again."""
    facts = restart(recorded(message=HOLDS_KEY.message))
    assert (facts.verdict, facts.observed, facts.due, facts.holds_back) == (HOLDS_KEY, True, NOW + 300, False)
    assert facts.shown == EndpointStatus(reason="EndpointHoldsKey", message=HOLDS_KEY.message, opened=OURS.fingerprint)
    assert shown(after_answer(facts, AWAY, NOW + 300, 0.5)) == (EndpointReason.HOLDS_KEY, None)


def test_a_restart_after_an_earlier_key_was_lost_asks_at_the_due_time_too() -> None:
    """The keys that were lost are those of the message that numbers still hold."""
    rows = (Row(number=NUMBER, api="a", status=SignatureStatus.VALID, fingerprint=OTHER.fingerprint),)
    facts = restart(recorded("EndpointLacksOldKey", message=f"lost {OTHER.key_id}", rows=Rows(rows)))
    assert (facts.due, facts.observed, sorted(facts.lost)) == (NOW + 300, True, [OTHER.fingerprint])
    assert shown(facts) == (EndpointReason.LACKS_OLD_KEY, None)
    # Once every number has the new key; the endpoint is not asked for that.
    assert replace(facts, lost=frozenset()).verdict == HOLDS_KEY


def test_many_earlier_keys_that_were_lost_do_not_fit_the_message() -> None:
    """As after a restart, when each number holds a key of its own: a few are named, and the status can be written."""
    facts = after_earlier(restart(recorded()), {f"sha256:{index:064x}" for index in range(40)})
    message = after_answer(facts, OPENED, NOW, 0.5).shown.message
    assert len(message) <= 256
    assert "and 36 more any more" in message


@pytest.mark.parametrize("stalled", [True, False])
def test_a_restart_goes_on_with_a_failure(*, stalled: bool) -> None:
    """With the same words, and the time that has gone by; it is asked at once."""
    facts = restart(recorded("EndpointLacksKey", message="HTTP 421", opened=None, stalled=stalled, since=NOW - 590))
    retry = Retry.TERMINAL if stalled else Retry.TRANSIENT
    assert facts.verdict == EndpointVerdict(EndpointReason.LACKS_KEY, "HTTP 421", retry)
    assert (facts.observed, facts.due, facts.holds_back) == (True, NOW, True)
    assert shown(after_answer(facts, LACKS, NOW + 11, 0.5)) == (EndpointReason.LACKS_KEY, Retry.TERMINAL)


def test_a_restart_goes_on_with_a_problem_that_is_gone() -> None:
    """Its reason is one of numbers."""
    facts = restart(recorded("CredentialsNotFound", message="gone", since=None))
    assert shown(facts) == (Reason.CREDENTIALS_NOT_FOUND, Retry.TRANSIENT)


@pytest.mark.parametrize(
    ("status", "opened"),
    [
        (Status(generation=1), None),
        (recorded(generation=7), None),
        (recorded(asked_in=0), None),
        (recorded(fingerprint=OTHER.fingerprint), OURS.fingerprint),
        (recorded("EndpointPending"), OURS.fingerprint),
        (recorded("SomethingNew"), OURS.fingerprint),
        (recorded(conditions=()), None),
    ],
    ids=["never", "generation", "earlier generation", "key", "pending", "unknown", "no condition"],
)
def test_a_restart_that_cannot_rely_on_the_status_asks_at_once(status: Status, opened: str | None) -> None:
    """Another generation may have another address; another key was not asked for."""
    facts = restart(status)
    assert (facts.verdict, facts.observed, facts.due, facts.opened) == (NOT_ASKED, False, NOW, opened)


def test_a_request_that_was_not_handled_is_handled_after_a_restart() -> None:
    """At once."""
    facts = restart(recorded(), aim(request="now"))
    assert (facts.check_requested, facts.is_unfinished, facts.due) == (True, True, NOW)
    assert not restart(recorded(request="now"), aim(request="now")).check_requested
    failing = restart(recorded("EndpointLacksKey"), aim(request="now"))
    assert failing.check_requested


def written(**more: Any) -> dict[str, Any]:
    """Return `spec.flowsEndpoint` as it is written."""
    return {"url": URL, **more}


def made(secrets: dict[str, Any] | None = None, allow: str = "", **spec: Any) -> EndpointTarget | None:
    """Return the target of an object."""
    found = resource(spec_body(**spec), request="now")
    numbers = [number_target(), number_target(interval=60.0)]
    return endpoint_target(found, spec_of(found), OURS, numbers, secrets or {}, egress(allow))


def test_a_target_is_made_from_the_spec_and_its_secrets() -> None:
    """A host without a dot is a Service of the namespace; it is asked as often as the numbers."""
    secret = {"name": "meta-app", "key": "secret"}
    ca_bundle = {"name": "flows-ca", "key": "ca.crt"}
    found = made(
        {"meta-app": {"secret": b"app secret\n"}, "flows-ca": {"ca.crt": b"PEM"}},
        flowsEndpoint=written(appSecretRef=secret, tls={"caSecretRef": ca_bundle, "serverName": "flows.example"}),
    )
    assert found
    assert found.endpoint == FlowEndpoint(
        url=parse_url("https://flows.messaging.svc/whatsapp"),
        trust=ServerTrust(ca_bundle="PEM", server_name="flows.example", tenant=NAMESPACE),
        app_secret=SecretStr("app secret"),
    )
    assert (found.gate, found.interval, found.request, found.problem) == (True, 60.0, "now", None)
    assert found.limiter_key == "flows.messaging.svc"
    assert "app secret" not in repr(found)


def test_without_the_field_there_is_no_target() -> None:
    """The endpoint is optional."""
    assert made() is None


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        (written(url="https://flows.example.com"), Reason.HOST_NOT_ALLOWED, "--allow-host=flows.example.com"),
        (written(url="http://flows"), Reason.HOST_NOT_ALLOWED, "`flowsEndpoint.url`"),
        (written(appSecretRef={"name": "gone", "key": "secret"}), Reason.CREDENTIALS_NOT_FOUND, "Secret gone"),
        (written(appSecretRef={"name": "app", "key": "secret"}), Reason.INVALID_CREDENTIALS, "is empty"),
    ],
)
def test_what_keeps_an_endpoint_from_being_called(spec: dict[str, Any], reason: Reason, words: str) -> None:
    """Found without a call."""
    found = made({"app": {"secret": b"\n"}}, flowsEndpoint=spec)
    assert found
    assert found.problem
    assert (found.endpoint, found.limiter_key, found.problem.reason) == (None, "", reason)
    assert words in found.problem.message


def test_all_secrets_of_an_endpoint_are_read() -> None:
    """And its policy is understood."""
    tls = {"caSecretRef": {"name": "ca", "key": "ca.crt"}}
    spec = spec_of(
        resource(spec_body(flowsEndpoint=written(appSecretRef={"name": "app", "key": "s"}, tls=tls, policy="Report")))
    )
    assert isinstance(spec.flows_endpoint, FlowsEndpoint)
    assert not spec.flows_endpoint.gate
    assert {"app", "ca"} <= spec.secrets
