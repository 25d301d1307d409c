"""A BusinessEncryptionKey as it was read from the API server, in values.

The CRD's schema has checked what comes in here, but not always this version of it: an object that an older or
newer CRD let through is refused with `InvalidSpec`, which names the field.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bek_operator.model.recorded import Recorded, read_status
from bek_operator.model.times import instant

REQUESTED_AT = "bek.dev/requested-at"
_LONGEST_REQUEST = 64


class InvalidSpec(ValueError):
    """The object's spec is not one that this version understands; the message names the field."""


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
    try:
        spec: Spec | InvalidSpec = _read_spec(body.get("spec") or {})
    except InvalidSpec as fault:
        spec = fault
    except (KeyError, TypeError, AttributeError):
        spec = InvalidSpec("the spec does not have the form of bek.dev/v1alpha1; apply the CRD of this version")
    status = body.get("status") or {}
    return Resource(
        ref=ObjectRef(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata["resourceVersion"],
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        request=_echo((metadata.get("annotations") or {}).get(REQUESTED_AT, "")),
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


def _read_spec(spec: Mapping[str, Any]) -> Spec:
    apis = {entry["name"]: _read_api(entry) for entry in spec.get("apis") or ()}
    fallback = apis["default"] if "default" in apis else next(iter(apis.values())) if len(apis) == 1 else None
    numbers: dict[str, Number] = {}
    for entry in spec.get("phoneNumbers") or ():
        number, name = entry["phoneNumber"], entry.get("api")
        api = apis.get(name) if name else fallback
        if api is None:
            raise InvalidSpec(f"`phoneNumbers`: {number} names no entry of `apis`")
        numbers[number] = Number(number=number, api=api)
    if "keySecretRef" not in spec or not numbers:
        raise InvalidSpec("`keySecretRef`, `apis` and `phoneNumbers` must be set")
    key = spec["keySecretRef"]
    return Spec(
        key=EntryRef(secret=key["name"], entry=key.get("key")),
        passphrase_entry=key.get("passphraseKey"),
        numbers=tuple(numbers.values()),
        interval=spec.get("intervalSeconds"),
        publish=spec.get("publishPolicy", "IfNeeded") != "Never",
        suspend=bool(spec.get("suspend", False)),
    )


def _read_api(entry: Mapping[str, Any]) -> Api:
    if entry["type"] != "OnPremises":
        return UnsupportedApi(name=entry["name"], type=str(entry["type"]))
    member = entry["onPremises"]
    tls = member.get("tls") or {}
    authorities = tls.get("caSecretRef")
    return OnPremisesApi(
        name=entry["name"],
        url=member["url"],
        credentials=EntryRef(secret=member["credentialsSecretRef"]["name"]),
        authorities=authorities and EntryRef(secret=authorities["name"], entry=authorities["key"]),
        server_name=tls.get("serverName"),
    )
