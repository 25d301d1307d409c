"""Reads and writes one Lease (coordination.k8s.io/v1), by which the replicas elect a leader."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bek_operator.cluster.client import Client, name_in_path, validating
from bek_operator.cluster.errors import NotFound
from bek_operator.crd.fields import typed

REQUEST_SECONDS: Final = 3.0
"""The time limit of each request: a leader has eight seconds to renew its Lease."""

_GROUP = "/apis/coordination.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What a Lease says.

    Attributes:
        holder: The identity of the leader; empty when there is none.
        seconds: How long the Lease is valid without a change.
        acquired: When the leader became it, and `renewed` when it last said so: RFC 3339 by the leader's own clock, for
            people only.
        transitions: How often the leader changed.
    """

    holder: str
    seconds: int
    acquired: str
    renewed: str
    transitions: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease at one resourceVersion; `body` is the whole object, so that a write keeps what others put there."""

    record: LeaseRecord
    body: Mapping[str, Any] = field(repr=False)


async def leases_named(client: Client, name: str) -> Mapping[str, LeaseRecord]:
    """Return what the Leases of a name say, by namespace.

    Raises:
        ClusterError: the request failed; `Forbidden` for who is not allowed to list those of all namespaces.
    """
    query = {"fieldSelector": f"metadata.name={name}"}
    page = await client.request("GET", f"{_GROUP}/leases", query=query, seconds=REQUEST_SECONDS)
    with validating("a list of Leases"):
        return {item["metadata"]["namespace"]: _parse(item).record for item in page["items"] or ()}


class Leases:
    """The Lease of one name; every request has a short time limit."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._folder = f"{_GROUP}/namespaces/{name_in_path(namespace)}/leases"
        self._path = f"{self._folder}/{name_in_path(name)}"

    async def read(self) -> Lease | None:
        """Return the Lease; `None` when it does not exist.

        Raises:
            ClusterError: the request failed.
        """
        try:
            return _parse(await self._client.request("GET", self._path, seconds=REQUEST_SECONDS))
        except NotFound:
            return None

    async def create(self, record: LeaseRecord) -> Lease:
        """Create the Lease.

        Raises:
            ClusterError: `Conflict` when it exists.
        """
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
            "spec": _render(record),
        }
        return _parse(await self._client.request("POST", self._folder, body=body, seconds=REQUEST_SECONDS))

    async def replace(self, lease: Lease, record: LeaseRecord) -> Lease:
        """Replace what a Lease says, at its resourceVersion.

        Raises:
            ClusterError: `Conflict` or `NotFound` when it was changed, deleted or re-created.
        """
        body = {**lease.body, "spec": {**(lease.body.get("spec") or {}), **_render(record)}}
        return _parse(await self._client.request("PUT", self._path, body=body, seconds=REQUEST_SECONDS))


def _render(record: LeaseRecord) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.seconds,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }


def _parse(body: dict[str, Any]) -> Lease:
    """Return a Lease; every field of its spec is optional."""
    with validating("a Lease"):
        body["metadata"]["resourceVersion"]
        spec = body.get("spec") or {}
        record = LeaseRecord(
            holder=typed(spec.get("holderIdentity"), str) or "",
            seconds=typed(spec.get("leaseDurationSeconds"), int) or 0,
            acquired=typed(spec.get("acquireTime"), str) or "",
            renewed=typed(spec.get("renewTime"), str) or "",
            transitions=typed(spec.get("leaseTransitions"), int) or 0,
        )
    return Lease(record, body)
