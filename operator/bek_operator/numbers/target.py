"""Targets: the desired key and the endpoint of each number, from the spec and its Secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import Api, Number, OnPremisesApi, ProviderApi, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.endpoint import Endpoint, Identity
from bek_operator.numbers.endpoints import EgressPolicy, Endpoints, Secrets
from bek_operator.numbers.identity import identity_of

ON_PREMISES_INTERVAL = 600.0
CLOUD_INTERVAL = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The desired state of one number, and where to call.

    Attributes:
        uid: The object's uid; it changes when the object is re-created.
        api: The entry of `spec.apis`, as written.
        address: The endpoint's identity by the spec alone; empty if it is not known.
        endpoint: The endpoint, unless there is a `problem`.
        problem: Why the number cannot be called.
        publish: Whether to publish a missing key, or only report it.
        interval: Seconds between two checks.
        request: The value of `requested-at`.
    """

    uid: str
    number: str
    api: Api
    address: str
    endpoint: Endpoint | None
    problem: Failure | None
    key: PublicKey
    publish: bool
    interval: float
    request: str = ""

    @property
    def limiter_key(self) -> str:
        """Return the limiter key; empty without an endpoint."""
        return self.endpoint.limiter_key if self.endpoint else ""

    def is_called_like(self, other: "Target") -> bool:
        """Return whether a call for one is a call for the other, too: they differ in the request at most."""
        return self is other or replace(self, request=other.request) == other


def targets_of(
    resource: BusinessEncryptionKey,
    spec: Spec,
    key: PublicKey,
    secrets: Secrets,
    egress: EgressPolicy,
    claimed: Mapping[str, str],
) -> tuple[Target, ...]:
    """Return the target of every number of an object, in the spec's order.

    `claimed`: for each number that another object manages, the message that names it.
    """
    endpoints = Endpoints(resource.ref.namespace, secrets, egress)
    found = _each_its_own({number: endpoints.of(number) for number in spec.numbers})
    for number in spec.numbers:
        if message := claimed.get(number.number):
            found[number] = _duplicate(message)
    return tuple(_target(resource, spec, key, number, found[number]) for number in spec.numbers)


def _each_its_own(found: Mapping[Number, Endpoint | Failure]) -> dict[Number, Endpoint | Failure]:
    """Return the same, with each endpoint for the lowest of its numbers only."""
    distinct, first = dict(found), dict[Identity, str]()
    for number in sorted(found, key=lambda one: int(one.number)):
        endpoint = found[number]
        if isinstance(endpoint, Failure):
            continue
        holder = first.setdefault(endpoint.identity, number.number)
        if holder != number.number:
            distinct[number] = _duplicate(
                f"same API key as {holder}; each number needs an API key of its own"
                if isinstance(number.api, ProviderApi)
                else f"same endpoint as {holder} of this object; remove one of them"
            )
    return distinct


def _duplicate(message: str) -> Failure:
    return Failure(reason=Reason.DUPLICATE_NUMBER, message=message, retry=Retry.TERMINAL)


def _target(
    resource: BusinessEncryptionKey, spec: Spec, key: PublicKey, number: Number, found: Endpoint | Failure
) -> Target:
    default = ON_PREMISES_INTERVAL if isinstance(number.api, OnPremisesApi) else CLOUD_INTERVAL
    return Target(
        uid=resource.uid,
        number=number.number,
        api=number.api,
        address=identity_of(number, resource.ref.namespace) or "",
        endpoint=None if isinstance(found, Failure) else found,
        problem=found if isinstance(found, Failure) else None,
        key=key,
        publish=spec.publish,
        interval=float(spec.interval or default),
        request=resource.request,
    )
