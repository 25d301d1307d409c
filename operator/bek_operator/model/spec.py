"""A BusinessEncryptionKey as it was read from the API server, in values.

The CRD's schema has checked what comes in here, but not always this version of it: an object that an older or
newer CRD let through is refused with `InvalidSpec`, which names the field.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bek_operator.model.fields import Fields, Malformed, typed
from bek_operator.model.recorded import Recorded, read_status
from bek_operator.model.times import instant

REQUESTED_AT = "bek.dev/requested-at"

_LONGEST_REQUEST = 64
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_LONGEST_URL = 1024
_LONGEST_SHOWN = 40
_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_INTERVALS = range(10, 604800 + 1)


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """Why the object's spec is not one that this version understands; the message names the field."""

    message: str


class ObjectRef(NamedTuple):
    """An object's name within the cluster."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRef:
    """One entry of a Secret in the object's own namespace; without `entry` the caller knows which."""

    secret: str
    entry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPremisesApi:
    """An On-Premises entry of `spec.apis`, as written."""

    name: str
    url: str
    credentials: EntryRef
    authorities: EntryRef | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedApi:
    """An entry of `spec.apis` of a type that this version cannot serve."""

    name: str
    type: str


Api = OnPremisesApi | UnsupportedApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One entry of `spec.phoneNumbers`, with the API that it lives on."""

    number: str
    api: Api

    @property
    def digits(self) -> str:
        """Return the number without its plus sign."""
        return self.number.removeprefix("+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a user asks for."""

    key: EntryRef
    passphrase_entry: str | None
    numbers: tuple[Number, ...]
    interval: int | None
    publish: bool
    suspend: bool

    @property
    def secrets(self) -> frozenset[str]:
        """Return the names of all Secrets that the object refers to."""
        names = {self.key.secret}
        for number in self.numbers:
            if isinstance(number.api, OnPremisesApi):
                names.add(number.api.credentials.secret)
                if number.api.authorities:
                    names.add(number.api.authorities.secret)
        return frozenset(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A BusinessEncryptionKey at one resourceVersion.

    Attributes:
        created: Instant of creation; the older object wins a claim.
        request: Echo of the `bek.dev/requested-at` annotation, empty without one.
        spec: What was asked for, or why that is not understood.
        status: The status as read, for comparison with the one to write.
        recorded: The same in values.
    """

    ref: ObjectRef
    uid: str
    generation: int
    version: str
    created: float
    request: str
    spec: Spec | InvalidSpec
    status: Mapping[str, Any] = field(repr=False)
    recorded: Recorded = field(repr=False)
    deleted: bool = False


def read_resource(body: Mapping[str, Any]) -> Resource:
    """Turn what the API server returned into a value; never raises for what a user wrote."""
    metadata = body["metadata"]
    spec: Spec | InvalidSpec
    try:
        spec = _read_spec(Fields(body).part("spec"))
    except Malformed as fault:
        spec = InvalidSpec(f"{fault}; apply the CRD of this version to have it checked")
    status = body.get("status")
    if not isinstance(status, Mapping):
        status = {}
    request = typed((metadata.get("annotations") or {}).get(REQUESTED_AT), str)
    return Resource(
        ref=ObjectRef(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata["resourceVersion"],
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        request=_echo(request or ""),
        spec=spec,
        status=status,
        recorded=read_status(status),
        deleted="deletionTimestamp" in metadata,
    )


def _echo(request: str) -> str:
    """Return the annotation as the status echoes it: itself, or its digest when too long."""
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
    )


def _read_number(entry: Fields, apis: Mapping[str, Api]) -> Number:
    number = entry.text("phoneNumber", _LONGEST_LABEL)
    if not _PHONE_NUMBER.fullmatch(number):
        raise Malformed('`spec.phoneNumbers[].phoneNumber` must be "+" and 7 to 15 digits, the first not 0')
    name = entry.optional_text("api", _LONGEST_LABEL)
    if name is None:
        api = apis.get("default") or (next(iter(apis.values())) if len(apis) == 1 else None)
    else:
        api = apis.get(name)
    if api is None:
        raise Malformed(f"`spec.phoneNumbers[].api` of {number} must be the name of an entry of `apis`")
    return Number(number=number, api=api)


def _read_api(entry: Fields) -> Api:
    name = entry.text("name", _LONGEST_LABEL)
    kind = entry.text("type", _LONGEST_NAME)
    if kind != "OnPremises":
        return UnsupportedApi(name=name, type=kind[:_LONGEST_SHOWN])
    member = entry.part("onPremises")
    tls = member.optional_part("tls")
    authorities = tls.optional_part("caSecretRef") if tls else None
    return OnPremisesApi(
        name=name,
        url=member.text("url", _LONGEST_URL),
        credentials=EntryRef(secret=member.part("credentialsSecretRef").text("name", _LONGEST_NAME)),
        authorities=_read_entry_ref(authorities) if authorities else None,
        server_name=tls.optional_text("serverName", _LONGEST_NAME) if tls else None,
    )


def _read_entry_ref(ref: Fields) -> EntryRef:
    return EntryRef(secret=ref.text("name", _LONGEST_NAME), entry=ref.text("key", _LONGEST_NAME))
