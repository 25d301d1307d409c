"""The spec of a BusinessEncryptionKey as values."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class SignatureStatus(StrEnum):
    """The signature status as the API reports it."""

    VALID = "VALID"
    MISMATCH = "MISMATCH"


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """Why this version cannot use the object's spec; the message names the field."""

    message: str


class ObjectKey(NamedTuple):
    """An object's name within the cluster."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRef:
    """One entry of a Secret in the object's own namespace; without `entry` the caller chooses."""

    secret: str
    entry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPremisesApi:
    """An On-Premises entry of `spec.apis`, as written."""

    name: str
    url: str
    credentials: EntryRef
    ca_bundle: EntryRef | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudApi:
    """A Cloud entry of `spec.apis`, as written."""

    name: str
    token: EntryRef
    version: str | None = None
    app_secret: EntryRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderApi:
    """A Provider entry of `spec.apis`, as written: the Cloud API's protocol at another address, with another header."""

    name: str
    url: str
    header: str
    api_key: EntryRef
    ca_bundle: EntryRef | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedApi:
    """An entry of `spec.apis` of a type that this version does not support."""

    name: str
    type: str


Api = OnPremisesApi | CloudApi | ProviderApi | UnsupportedApi


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsEndpoint:
    """`spec.flowsEndpoint`, as written.

    Attributes:
        url: Not in the repr, because its query may hold a password.
        gate: Whether a new key waits until the endpoint opens it.
    """

    url: str = field(repr=False)
    app_secret: EntryRef | None = None
    ca_bundle: EntryRef | None = None
    server_name: str | None = None
    gate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One entry of `spec.phoneNumbers`, with the API that serves it.

    Attributes:
        identity: Meta's phone number id; empty if none is needed.
    """

    number: str
    api: Api
    identity: str = ""

    def fill_in(self, template: str) -> str:
        """Replace the placeholders in a URL or in an entry's name."""
        return template.replace("{digits}", self.number.removeprefix("+")).replace("{phoneNumberID}", self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How a rotated key is rolled out.

    Attributes:
        all_at_once: Whether no number goes first.
        first: The only number that can go first; without it the lowest one that can be reached.
        pause: Seconds between the first number's publish and the others'.
    """

    all_at_once: bool = False
    first: str | None = None
    pause: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The parsed spec."""

    key: EntryRef
    passphrase_entry: str | None
    numbers: tuple[Number, ...]
    interval: int | None
    publish: bool
    suspend: bool
    rollout: Rollout = Rollout()
    flows_endpoint: FlowsEndpoint | None = None

    @property
    def secrets(self) -> frozenset[str]:
        """Return the names of all Secrets that the object refers to."""
        callees = (*(number.api for number in self.numbers), self.flows_endpoint)
        return frozenset({self.key.secret, *(ref.secret for one in callees for ref in _refs(one))})


def _refs(callee: Api | FlowsEndpoint | None) -> Iterator[EntryRef]:
    found: tuple[EntryRef | None, ...]
    match callee:
        case OnPremisesApi():
            found = (callee.credentials, callee.ca_bundle)
        case CloudApi():
            found = (callee.token, callee.app_secret)
        case ProviderApi():
            found = (callee.api_key, callee.ca_bundle)
        case FlowsEndpoint():
            found = (callee.app_secret, callee.ca_bundle)
        case _:
            found = ()
    yield from (ref for ref in found if ref)
