"""What to ask the Flow endpoint of an object, from the spec and its Secrets."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.numbers.endpoints import EgressPolicy, Endpoints, Secrets
from bek_operator.numbers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTarget:
    """What to ask, and where.

    Attributes:
        address: The endpoint's URL as written; not in the repr, because its query may hold a password.
        endpoint: The endpoint, unless there is a `problem`.
        problem: Why it cannot be called.
        gate: Whether a new key waits until the endpoint opens it.
        interval: Seconds between two pings while the endpoint holds the key.
        request: The value of `requested-at`.
    """

    address: str = field(repr=False)
    endpoint: FlowEndpoint | None
    problem: Failure | None
    key: PublicKey
    gate: bool
    interval: float
    request: str = ""

    @property
    def limiter_key(self) -> str:
        """Return the limiter key; empty without an endpoint."""
        return self.endpoint.limiter_key if self.endpoint else ""


def endpoint_target(
    resource: BusinessEncryptionKey,
    spec: Spec,
    key: PublicKey,
    numbers: Iterable[Target],
    secrets: Secrets,
    egress: EgressPolicy,
) -> EndpointTarget | None:
    """Return the target; `None` if the spec has no Flow endpoint. It is asked as often as the numbers are checked."""
    written = spec.flows_endpoint
    if written is None:
        return None
    found = Endpoints(resource.ref.namespace, secrets, egress).flow_endpoint(written)
    return EndpointTarget(
        address=written.url,
        endpoint=None if isinstance(found, Failure) else found,
        problem=found if isinstance(found, Failure) else None,
        key=key,
        gate=written.gate,
        interval=min(number.interval for number in numbers),
        request=resource.request,
    )
