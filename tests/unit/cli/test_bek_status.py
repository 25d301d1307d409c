"""What `kubectl bek status` makes of an object, and how it looks."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cli.durations import short
from bek_operator.cli.status import as_data, as_tables
from bek_operator.cli.summary import summary_of, worst_first
from bek_operator.cli.tables import show
from bek_operator.cli.waiting import lease_warning, progress_of, unfinished
from bek_operator.cluster.lease import LeaseRecord
from bek_operator.cluster.user_objects import managed_by
from bek_operator.times import rfc3339
from support.builders import NOW, public_key, resource, spec_body

if TYPE_CHECKING:
    from bek_operator.crd.parse import BusinessEncryptionKey

OURS, THEIRS = public_key(), public_key("theirs")
FIRST, SECOND, THIRD = "+15550001111", "+15550002222", "+15550003333"
HOUR = 3600.0
FLOWS = "https://flows.example.com/flows"
RUNS = "see whether it runs: kubectl get pods -A -l app.kubernetes.io/name=bek-operator"


def condition(kind: str, reason: str, message: str, *, true: bool) -> dict[str, Any]:
    """Return a condition that is five minutes old."""
    return {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": rfc3339(NOW - 300),
    }


def row(number: str, reason: str = "Signed", **more: Any) -> dict[str, Any]:
    """Return the row of a number that holds our key."""
    return {
        "phoneNumber": number,
        "api": "default",
        "reason": reason,
        "signatureStatus": "VALID",
        "observedFingerprint": OURS.fingerprint,
        "lastPublishTime": rfc3339(NOW - HOUR),
        "publishes": 1,
        **more,
    }


def broken() -> BusinessEncryptionKey:
    """Return an object with a number that is signed, one that is fought over, and one that is new."""
    contended = row(
        SECOND, "Contended", message="rival", publishes=3,
        observedFingerprint=THEIRS.fingerprint, lastPublishTime=rfc3339(NOW - 600),
    )  # fmt: skip
    return resource(
        spec_body((FIRST, SECOND, THIRD)),
        {
            "observedGeneration": 1,
            "publicKeyFingerprint": OURS.fingerprint,
            "signedNumbers": 1,
            "desiredNumbers": 3,
            "conditions": [
                condition("Ready", "Contended", "1 of 3 numbers: rival", true=False),
                condition("Stalled", "Contended", "1 of 3 numbers: rival", true=True),
            ],
            "phoneNumbers": [row(FIRST), contended],
        },
    )


def well(*, request: str | None = None, **more: Any) -> BusinessEncryptionKey:
    """Return an object whose number is signed."""
    status = {
        "observedGeneration": 1,
        "publicKeyFingerprint": OURS.fingerprint,
        "signedNumbers": 1,
        "conditions": [condition("Ready", "Succeeded", "1 number signed", true=True)],
        "phoneNumbers": [row(FIRST)],
    }
    return resource(spec_body((FIRST,)), {**status, **more}, request=request)


def shown(*resources: BusinessEncryptionKey, **how: Any) -> list[str]:
    """Return the lines as a program would read them."""
    out = io.StringIO()
    show(as_tables(worst_first(summary_of(one, NOW) for one in resources), NOW, **how), out)
    return out.getvalue().splitlines()


def test_tables() -> None:
    """The worst number first, its key marked, and when it can be published to again."""
    assert shown(broken()) == [
        f"messaging/flows: 1/3 signed, key {OURS.key_id}, Secret flows-key",
        "CONDITION   STATUS   REASON      AGE   MESSAGE",
        "Ready       False    Contended   5m    1 of 3 numbers: rival",
        "Stalled     True     Contended   5m    you must act; see Ready",
        "NUMBER         API       REASON      KEY             SIGNATURE   PUBLISHED   NEXT     MESSAGE",
        f"{SECOND}   default   Contended   {THEIRS.key_id}*   VALID       10m ago     in 50m   rival",
        f"{THIRD}   default   Unseen",
        f"{FIRST}   default   Signed      {OURS.key_id}    VALID       60m ago",
        "* The number holds another key than the Secret.",
    ]


@pytest.mark.parametrize(
    ("policy", "known", "line", "data"),
    [
        (
            "Gate",
            {"reason": "EndpointLacksKey", "message": "HTTP 421", "openedFingerprint": THEIRS.fingerprint},
            f"Flow endpoint {FLOWS}: EndpointLacksKey, opened key {THEIRS.key_id} last",
            {"reason": "EndpointLacksKey", "message": "HTTP 421", "openedFingerprint": THEIRS.fingerprint},
        ),
        (
            "Report",
            {"reason": "EndpointUnreachable"},
            f"Flow endpoint {FLOWS} (policy Report): EndpointUnreachable, opened no key yet",
            {"reason": "EndpointUnreachable"},
        ),
        ("Gate", None, f"Flow endpoint {FLOWS}: not asked yet", {}),
    ],
)
def test_the_flow_endpoint(policy: str, known: dict[str, Any] | None, line: str, data: dict[str, Any]) -> None:
    """In a line of its own below the heading, and with its message in the data; the table has its condition."""
    status = {
        "observedGeneration": 1,
        "conditions": [condition("EndpointReady", "EndpointLacksKey", "HTTP 421", true=False)],
        "flowsEndpoint": known,
    }
    found = resource(spec_body((FIRST,), flowsEndpoint={"url": FLOWS, "policy": policy}), status)

    assert shown(found)[1:4] == [
        line,
        "CONDITION       STATUS   REASON             AGE   MESSAGE",
        "EndpointReady   False    EndpointLacksKey   5m    HTTP 421",
    ]
    assert as_data([summary_of(found, NOW)])[0]["flowsEndpoint"] == {"url": FLOWS, "policy": policy, **data}


def test_what_is_well_can_be_left_out() -> None:
    """Objects and numbers, without a mark that would have nothing to explain."""
    lines = shown(well(), broken(), unhealthy=True)

    assert [line.split()[0] for line in lines if line.startswith("+")] == [SECOND, THIRD]
    assert shown(well(), unhealthy=True) == ["1 healthy, none unhealthy."]
    assert shown() == ["No resources found."]


def test_a_narrow_terminal_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are as long as on a wide one: the terminal itself wraps them."""
    whole = shown(broken())
    monkeypatch.setenv("COLUMNS", "80")

    assert shown(broken()) == whole
    assert max(map(len, whole)) > 80


def test_wide() -> None:
    """Whole fingerprints and counts."""
    (line,) = (line.split() for line in shown(well(), wide=True) if line.startswith("+"))
    assert line[-2:] == ["1", OURS.fingerprint]


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (
            resource(spec_body((FIRST,)), {"observedGeneration": -1}, created=NOW - 300),
            f"The operator has not seen this object since it was created 5m ago. If that lasts, {RUNS}, and whether",
        ),
        (well(request="now"), "A check was requested, and the operator has not finished it yet: "),
        (well(observedGeneration=0), "The spec was changed, and the operator has not seen the change yet"),
        (resource({"keySecretRef": 3}, {"observedGeneration": 1}), "The spec cannot be used: "),
    ],
)
def test_what_the_conditions_do_not_say(found: BusinessEncryptionKey, note: str) -> None:
    """The object is not healthy, whatever its conditions are."""
    summary = summary_of(found, NOW)

    assert not summary.is_healthy
    assert any(line.startswith(note) for line in shown(found))


def test_a_check_that_nothing_will_come_of() -> None:
    """Of a suspended object, and of one without a key, the status says already why nothing is checked."""
    suspended = resource(spec_body((FIRST,), suspend=True), {"observedGeneration": 1}, request="now")
    keyless = well(request="now", conditions=[condition("Ready", "InvalidKey", "no key", true=False)])

    assert [summary_of(one, NOW).notes for one in (suspended, keyless)] == [(), ()]


def test_the_worst_object_comes_first() -> None:
    """Then those in progress, then what is well."""
    new = resource(spec_body((FIRST,)), {"observedGeneration": -1})
    order = worst_first(summary_of(one, NOW) for one in (well(), new, broken()))

    assert [one.signed for one in order] == [1, 0, 1]
    assert [len(one.numbers) for one in order] == [3, 1, 1]


def test_data_has_whole_instants() -> None:
    """In the fields' names of the status."""
    (found,) = as_data([summary_of(broken(), NOW)])
    first, new, _ = found["phoneNumbers"]

    assert first["nextPublishTime"] == rfc3339(NOW - 600 + HOUR)
    assert (first["holdsCurrentKey"], first["publishes"]) == (False, 3)
    assert new == {"phoneNumber": THIRD, "api": "default", "holdsCurrentKey": False, "publishes": 0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"), (0.9, "0s"), (119, "119s"), (120, "2m"), (330, "5m30s"), (600, "10m"), (10_799, "179m"),
        (10_800, "3h"), (12_000, "3h20m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"), (187_200, "2d4h"),
        (691_200, "8d"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    """As kubectl shows an age."""
    assert short(seconds) == text


WAITING = "1/0 signed; waiting until every number was checked"
EXPIRED = condition("Ready", "TokenExpired", "renew it", true=False)
INVALID_KEY = condition("Ready", "InvalidKey", "no key", true=False)
NO_SECRET = condition("Ready", "SecretNotFound", "none", true=False)


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ({"lastHandledReconcileAt": "now"}, (True, False, True, "1/0 signed")),
        ({"observedGeneration": 0}, (False, False, False, WAITING)),
        ({}, (False, False, False, WAITING)),
        (
            {"lastHandledReconcileAt": "now", "conditions": [EXPIRED]},
            (True, False, False, "1/0 signed; TokenExpired: renew it"),
        ),
        ({"conditions": [EXPIRED]}, (False, False, False, WAITING)),
        ({"conditions": [INVALID_KEY]}, (False, True, False, "InvalidKey: no key")),
        ({"conditions": [NO_SECRET]}, (False, True, False, "SecretNotFound: none")),
        ({"conditions": [INVALID_KEY], "observedGeneration": 0}, (False, False, False, WAITING)),
    ],
)
def test_a_check_under_way(status: dict[str, Any], progress: tuple[bool, bool, bool, str]) -> None:
    """It is done when the request is echoed, and blocked while there is no key with which numbers can be checked."""
    found = progress_of(well(request="now", **status))
    assert (found.done, found.blocked, found.well, found.text) == progress


def lease(holder: str, age: float) -> LeaseRecord:
    """Return a Lease that was renewed some seconds ago."""
    return LeaseRecord(holder=holder, seconds=15, acquired="", renewed=rfc3339(NOW - age), transitions=1)


@pytest.mark.parametrize(
    ("leases", "begins"),
    [
        ({}, ""),
        ({"bek-system": lease("pod", 59)}, ""),
        ({"bek-system": lease("pod", 3600), "messaging": lease("pod", 5)}, ""),
        (
            {"bek-system": lease("pod", 300), "messaging": lease("pod", 3600)},
            "the operator's Lease bek-system/bek-operator was renewed 5m ago last, and nobody holds it; see",
        ),
        (
            {"bek-system": lease("", 5)},
            "the operator's Lease bek-system/bek-operator was renewed 5s ago last, and nobody holds it; see",
        ),
    ],
)
def test_an_operator_without_a_lease(leases: dict[str, LeaseRecord], begins: str) -> None:
    """It is warned of where no Lease of that name is held."""
    found = lease_warning(leases, NOW)
    assert found.startswith(begins)
    assert bool(found) is bool(begins)


def test_a_check_that_was_not_finished_in_time() -> None:
    """Either the status did not change, so nobody works on it, or it says what keeps the operator from finishing."""
    requested = well(request="now")
    late = replace(well(request="now", conditions=[EXPIRED]), version="2")

    assert unfinished(requested, requested, 5.0) == f"the operator has not answered within 5 s; {RUNS}"
    assert unfinished(requested, late, 90.0) == (
        "not every number of flows was checked within 90 s: TokenExpired: renew it"
    )


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({}, ""),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "keys"}}, "Flux (Kustomization keys)"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "keys"}}, "Flux (HelmRelease keys)"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "keys:bek.dev/…"}}, "Argo CD (Application keys)"),
        ({"labels": {"argocd.argoproj.io/instance": "keys"}}, "Argo CD (Application keys)"),
    ],
)
def test_the_tool_that_applies_an_object(metadata: dict[str, Any], tool: str) -> None:
    """By the labels and annotations that these tools set."""
    assert managed_by(metadata) == tool
