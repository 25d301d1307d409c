"""Parses BusinessEncryptionKeys from the API server into values.

The CRD's schema validates objects, but perhaps in another version: an object that an older or newer CRD admitted
gets an `InvalidSpec`, which names the field.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from bek_operator.crd.fields import Fields, Malformed, typed
from bek_operator.crd.reasons import ObjectReason
from bek_operator.crd.status import Rows, Status, read_status
from bek_operator.crd.types import (
    Api,
    CloudApi,
    EntryRef,
    FlowsEndpoint,
    InvalidSpec,
    Number,
    ObjectKey,
    OnPremisesApi,
    ProviderApi,
    Rollout,
    Spec,
    UnsupportedApi,
)
from bek_operator.times import instant

LEAST_NUMBERS: Final = 4
"""An object counts as so many numbers at least: one with a single number takes as much memory as four numbers do."""

REQUESTED_AT = "bek.dev/requested-at"

_LONGEST_REQUEST = 64
_LONGEST_LABEL = 63
_LONGEST_HEADER = 64
_LONGEST_NAME = 253
_LONGEST_URL = 1024
_LONGEST_SHOWN = 40
PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
IDENTITY = re.compile(r"[0-9]{1,20}")
CLOUD_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,3}")
_LONGEST_IDENTITY = 20
_PAUSES = range(604800 + 1)
_INTERVALS = range(10, 604800 + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessEncryptionKey:
    """A BusinessEncryptionKey at one resourceVersion.

    Attributes:
        created: When it was created; the older object owns a number that both list.
        request: Echo of the `bek.dev/requested-at` annotation, empty without one.
        spec: The parsed spec, or why it is invalid.
        status: The status in the API server.
    """

    ref: ObjectKey
    uid: str
    generation: int
    version: str
    created: float
    request: str
    spec: Spec | InvalidSpec
    status: Status = field(repr=False)
    deleted: bool = False

    @property
    def is_over_quota(self) -> bool:
        """Return whether its namespace has too many numbers, so that little more than its name is held."""
        return isinstance(self.spec, InvalidSpec) and self.spec.reason is ObjectReason.TOO_MANY_NUMBERS

    @property
    def counted_numbers(self) -> int:
        """Return how many numbers it counts as in the quota of its namespace."""
        # One that cannot be read is no reason to keep others from being served, but takes memory.
        return max(len(self.spec.numbers) if isinstance(self.spec, Spec) else 0, LEAST_NUMBERS)

    def over_quota(self, most: int) -> "BusinessEncryptionKey":
        """Return what is held of an object beyond the quota of so many numbers for each namespace."""
        return replace(self, spec=_over_quota(most), status=replace(self.status, rows=Rows()))


@cache
def _over_quota(most: int) -> InvalidSpec:
    return InvalidSpec(
        f"with this object and older ones the namespace counts more than {most} phone numbers, at least "
        f"{LEAST_NUMBERS} for each object; remove some, or ask whoever runs the operator to raise "
        "--max-numbers-per-namespace",
        ObjectReason.TOO_MANY_NUMBERS,
    )


def parse_object(body: Mapping[str, Any]) -> BusinessEncryptionKey:
    """Parse an object; whatever a user wrote never raises."""
    metadata = body["metadata"]
    spec: Spec | InvalidSpec
    try:
        spec = _read_spec(Fields(body).part("spec"))
    except Malformed as fault:
        spec = InvalidSpec(f"{fault}; apply the CRD of this operator version, then the object")
    request = typed((metadata.get("annotations") or {}).get(REQUESTED_AT), str)
    return BusinessEncryptionKey(
        ref=ObjectKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata["resourceVersion"],
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        request=_echo(request or ""),
        spec=spec,
        status=read_status(body.get("status")),
        deleted="deletionTimestamp" in metadata,
    )


def _echo(request: str) -> str:
    """Return the annotation's value as it is in the status: unchanged, or its digest if it is too long."""
    if len(request) <= _LONGEST_REQUEST:
        return request
    return hashlib.sha256(request.encode("utf-8", "surrogatepass")).hexdigest()


def _read_spec(spec: Fields) -> Spec:
    key = spec.part("keySecretRef")
    apis = {api.name: api for api in map(_read_api, spec.parts("apis"))}
    numbers = [_read_number(entry, apis) for entry in spec.parts("phoneNumbers")]
    interval = spec.get("intervalSeconds", int)
    if interval is not None and interval not in _INTERVALS:
        raise Malformed(f"`spec.intervalSeconds` must be from {_INTERVALS[0]} to {_INTERVALS[-1]}")
    policy = spec.get("publishPolicy", str) or "IfNeeded"
    if policy not in {"IfNeeded", "Never"}:
        raise Malformed("`spec.publishPolicy` must be IfNeeded or Never")
    return Spec(
        key=EntryRef(secret=key.text("name", _LONGEST_NAME), entry=key.optional_text("key", _LONGEST_NAME)),
        passphrase_entry=key.optional_text("passphraseKey", _LONGEST_NAME),
        numbers=tuple({number.number: number for number in numbers}.values()),
        interval=interval,
        publish=policy == "IfNeeded",
        suspend=spec.get("suspend", bool) or False,
        rollout=_read_rollout(spec, {number.number for number in numbers}),
        flows_endpoint=_read_flows_endpoint(spec.optional_part("flowsEndpoint")),
    )


def _read_number(entry: Fields, apis: Mapping[str, Api]) -> Number:
    number = entry.text("phoneNumber", _LONGEST_LABEL)
    if not PHONE_NUMBER.fullmatch(number):
        raise Malformed('`spec.phoneNumbers[].phoneNumber` must be "+" and 7 to 15 digits, the first not 0')
    name = entry.optional_text("api", _LONGEST_LABEL)
    if name is None:
        api = apis.get("default") or (next(iter(apis.values())) if len(apis) == 1 else None)
    else:
        api = apis.get(name)
    if api is None:
        raise Malformed(f"`spec.phoneNumbers[].api` of {number} must be the name of an entry of `apis`")
    identity = entry.optional_text("phoneNumberID", _LONGEST_IDENTITY) or ""
    if not identity and _needs_identity(api):
        raise Malformed(f"`spec.phoneNumbers[].phoneNumberID` of {number} must be set, because its api needs it")
    if identity and not IDENTITY.fullmatch(identity):
        raise Malformed(f"`spec.phoneNumbers[].phoneNumberID` of {number} must be digits")
    return Number(number=number, api=api, identity=identity)


def _needs_identity(api: Api) -> bool:
    match api:
        case CloudApi():
            return True
        case ProviderApi():
            return "{phoneNumberID}" in api.url + (api.api_key.entry or "")
        case _:
            return False


def _read_api(entry: Fields) -> Api:
    name = entry.text("name", _LONGEST_LABEL)
    kind = entry.text("type", _LONGEST_NAME)
    match kind:
        case "OnPremises":
            return _read_on_premises(name, entry.part("onPremises"))
        case "Cloud":
            return _read_cloud(name, entry.part("cloud"))
        case "Provider":
            return _read_provider(name, entry.part("provider"))
        case _:
            return UnsupportedApi(name=name, type=kind[:_LONGEST_SHOWN])


def _read_on_premises(name: str, member: Fields) -> OnPremisesApi:
    ca_bundle, server_name = _read_tls(member)
    return OnPremisesApi(
        name=name,
        url=member.text("url", _LONGEST_URL),
        credentials=EntryRef(secret=member.part("credentialsSecretRef").text("name", _LONGEST_NAME)),
        ca_bundle=ca_bundle,
        server_name=server_name,
    )


def _read_cloud(name: str, member: Fields) -> CloudApi:
    version = member.optional_text("version", _LONGEST_LABEL)
    if version and not CLOUD_VERSION.fullmatch(version):
        raise Malformed("`spec.apis[].cloud.version` must have the form v25.0")
    app_secret = member.optional_part("appSecretRef")
    return CloudApi(
        name=name,
        version=version,
        token=_read_entry_ref(member.part("tokenSecretRef")),
        app_secret=_read_entry_ref(app_secret) if app_secret else None,
    )


def _read_provider(name: str, member: Fields) -> ProviderApi:
    ca_bundle, server_name = _read_tls(member)
    return ProviderApi(
        name=name,
        url=member.text("url", _LONGEST_URL),
        header=member.text("apiKeyHeader", _LONGEST_HEADER),
        api_key=_read_entry_ref(member.part("apiKeySecretRef")),
        ca_bundle=ca_bundle,
        server_name=server_name,
    )


def _read_flows_endpoint(member: Fields | None) -> FlowsEndpoint | None:
    if member is None:
        return None
    policy = member.optional_text("policy", _LONGEST_LABEL) or "Gate"
    if policy not in {"Gate", "Report"}:
        raise Malformed("`spec.flowsEndpoint.policy` must be Gate or Report")
    app_secret = member.optional_part("appSecretRef")
    ca_bundle, server_name = _read_tls(member)
    return FlowsEndpoint(
        url=member.text("url", _LONGEST_URL),
        app_secret=_read_entry_ref(app_secret) if app_secret else None,
        ca_bundle=ca_bundle,
        server_name=server_name,
        gate=policy == "Gate",
    )


def _read_tls(member: Fields) -> tuple[EntryRef | None, str | None]:
    tls = member.optional_part("tls")
    if tls is None:
        return None, None
    ca_bundle = tls.optional_part("caSecretRef")
    return (_read_entry_ref(ca_bundle) if ca_bundle else None), tls.optional_text("serverName", _LONGEST_NAME)


def _read_rollout(spec: Fields, numbers: Iterable[str]) -> Rollout:
    rollout = spec.optional_part("rollout")
    if rollout is None:
        return Rollout()
    kind = rollout.optional_text("type", _LONGEST_LABEL) or "FirstNumber"
    if kind not in {"FirstNumber", "AllAtOnce"}:
        raise Malformed("`spec.rollout.type` must be FirstNumber or AllAtOnce")
    named = rollout.optional_part("firstNumber")
    first = named.optional_text("phoneNumber", _LONGEST_LABEL) if named else None
    if first and first not in numbers:
        raise Malformed("`spec.rollout.firstNumber.phoneNumber` must be one of `phoneNumbers`")
    pause = (named and named.get("pauseSeconds", int)) or 0
    if pause not in _PAUSES:
        raise Malformed(f"`spec.rollout.firstNumber.pauseSeconds` must be from 0 to {_PAUSES[-1]}")
    return Rollout(all_at_once=kind == "AllAtOnce", first=first, pause=float(pause))


def _read_entry_ref(ref: Fields) -> EntryRef:
    return EntryRef(secret=ref.text("name", _LONGEST_NAME), entry=ref.text("key", _LONGEST_NAME))
