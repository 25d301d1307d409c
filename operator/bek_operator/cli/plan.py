"""What a change of an object leads to: pure functions of the object as it is, and as it would be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bek_operator.cli.egress import EVERY_HOST
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import EntryRef, FlowsEndpoint, InvalidSpec, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.carry_over import restore_from_status, with_target
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.ownership import Ownership
from bek_operator.numbers.target import Target, targets_of


class Change(StrEnum):
    """What becomes of a number."""

    REFUSED = "refused"
    NEW = "new"
    MOVED = "moved"
    NEW_KEY = "new key"
    CHECKED = "checked"
    DROPPED = "dropped"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberPlan:
    """What becomes of one number, and what the operator would do."""

    number: str
    api: str
    change: Change
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a change leads to.

    Attributes:
        fields: The fields of the spec that change, beside numbers and where they live, each with both values.
        numbers: In the order of the new spec, then those that are dropped.
    """

    fields: tuple[str, ...]
    numbers: tuple[NumberPlan, ...]

    @property
    def is_empty(self) -> bool:
        """Return whether nothing changes."""
        return not self.fields and all(one.change is Change.UNCHANGED for one in self.numbers)


def plan_of(
    before: BusinessEncryptionKey | None,
    after: BusinessEncryptionKey,
    fingerprint: str | None,
    others: Sequence[BusinessEncryptionKey],
    now: float,
) -> Plan:
    """Return what a change leads to.

    Args:
        before: The object as it is; `None` for a new one.
        after: The object as it would be; its spec is usable.
        fingerprint: That of the key in the new Secret; `None` for the key of the status.
        others: The other objects of the namespace.
        now: Seconds since the epoch.
    """
    old_spec = before.spec if before and isinstance(before.spec, Spec) else None
    held = (before and before.status.fingerprint) or ""
    was_suspended = old_spec is not None and old_spec.suspend
    facts: dict[str, NumberFacts] = {}
    if before and old_spec:
        facts = {
            target.number: restore_from_status(target, before.status, before.generation, now=now, due=now)
            for target in _targets(before, old_spec, held, others)
        }
    spec = _usable(after)
    resumed = was_suspended and not spec.suspend
    plans = [
        _plan(facts.get(target.number), target, spec, now, resumed=resumed)
        for target in _targets(after, spec, fingerprint or held, others)
    ]
    listed = {one.number for one in plans}
    dropped = [
        NumberPlan(
            number=one.target.number,
            api=one.target.api.name,
            change=Change.DROPPED,
            message="no longer checked; it keeps the key that it holds",
        )
        for one in facts.values()
        if one.target.number not in listed
    ]
    return Plan(fields=tuple(_fields(old_spec, spec)) if old_spec else (), numbers=(*plans, *dropped))


def _plan(known: NumberFacts | None, target: Target, spec: Spec, now: float, *, resumed: bool) -> NumberPlan:
    facts = with_target(known, target, now) if known else NumberFacts(target=target)
    change = _change(known.target if known else None, target, resumed=resumed)
    message = "" if change is Change.UNCHANGED else _consequence(facts, spec)
    return NumberPlan(number=target.number, api=target.api.name, change=change, message=message)


def _change(before: Target | None, target: Target, *, resumed: bool) -> Change:
    # Another interval is no reason for a check.
    if before and not resumed and target.is_called_like(replace(before, interval=target.interval)):
        return Change.UNCHANGED
    if target.problem:
        return Change.REFUSED
    if before is None:
        return Change.NEW
    if before.address != target.address:
        return Change.MOVED
    return Change.CHECKED if before.key == target.key else Change.NEW_KEY


def _consequence(facts: NumberFacts, spec: Spec) -> str:
    if facts.target.problem:
        return facts.target.problem.message
    if spec.suspend:
        return "not called while the object is suspended"
    if facts.finding is Reason.SIGNED:
        return "checked; nothing is published, if it still holds the key"
    if not facts.target.publish:
        return "checked; nothing is published (publishPolicy: Never)"
    if spec.flows_endpoint and spec.flows_endpoint.gate:
        return "checked; published to, if it lacks the key, once the Flow endpoint has opened it"
    return "checked; published to, if it lacks the key"


def _fields(before: Spec, after: Spec) -> Iterator[str]:
    for name, old, new in (
        ("keySecretRef.name", before.key.secret, after.key.secret),
        ("keySecretRef.key", before.key.entry, after.key.entry),
        ("keySecretRef.passphraseKey", before.passphrase_entry, after.passphrase_entry),
        ("intervalSeconds", before.interval, after.interval),
        ("publishPolicy", _policy(before), _policy(after)),
        ("suspend", before.suspend, after.suspend),
        ("rollout.type", _rollout(before), _rollout(after)),
        ("rollout.firstNumber.phoneNumber", before.rollout.first, after.rollout.first),
        ("rollout.firstNumber.pauseSeconds", before.rollout.pause, after.rollout.pause),
        *_endpoint_fields(before.flows_endpoint, after.flows_endpoint),
    ):
        if old != new:
            yield f"{name}: {_shown(old)} -> {_shown(new)}"


def _endpoint_fields(
    before: FlowsEndpoint | None, after: FlowsEndpoint | None
) -> Iterator[tuple[str, str | None, str | None]]:
    old, new = _of_endpoint(before), _of_endpoint(after)
    for name in sorted({*old, *new}):
        yield f"flowsEndpoint.{name}", old.get(name), new.get(name)
    if before and after and before.url != after.url and old["url"] == new["url"]:
        yield "flowsEndpoint.url", old["url"], f"{new['url']} (another query)"


def _of_endpoint(endpoint: FlowsEndpoint | None) -> dict[str, str | None]:
    """Return the fields as they are shown; a query may hold a password."""
    if endpoint is None:
        return {}
    address, has_query, _ = endpoint.url.partition("?")
    return {
        "url": f"{address}?…" if has_query else address,
        "appSecretRef": _entry(endpoint.app_secret),
        "tls.caSecretRef": _entry(endpoint.ca_bundle),
        "tls.serverName": endpoint.server_name,
        "policy": "Gate" if endpoint.gate else "Report",
    }


def _entry(ref: EntryRef | None) -> str | None:
    return f"{ref.secret}/{ref.entry}" if ref else None


def _policy(spec: Spec) -> str:
    return "IfNeeded" if spec.publish else "Never"


def _rollout(spec: Spec) -> str:
    return "AllAtOnce" if spec.rollout.all_at_once else "FirstNumber"


def _shown(value: str | float | None) -> str:
    if value is None:
        return "(not set)"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _usable(resource: BusinessEncryptionKey) -> Spec:
    if isinstance(resource.spec, InvalidSpec):
        raise TypeError(resource.spec.message)
    return resource.spec


def _targets(
    resource: BusinessEncryptionKey, spec: Spec, fingerprint: str, others: Sequence[BusinessEncryptionKey]
) -> Sequence[Target]:
    """Return the targets, with the names of the Secrets' entries in place of their content."""
    ownership = Ownership()
    for one in (*others, resource):
        ownership.update(one)
    secrets = {name: _Names(name) for name in spec.secrets}
    key = PublicKey(pem="", fingerprint=fingerprint)
    return targets_of(resource, spec, key, secrets, EVERY_HOST, ownership.denied(resource, spec))


class _Names(Mapping[str, bytes]):
    """A Secret each entry of which has its own name as content: two references are equal if their names are."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __getitem__(self, entry: str) -> bytes:
        return f"{self._secret}/{entry}".encode()

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
