"""The Lease at the API server, and the client that writes for the leader only."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.errors import ClusterError, Conflict, NotFound, NotLeader, Unavailable
from bek_operator.cluster.leader_client import LeaderClient
from bek_operator.cluster.lease import LeaseRecord, Leases
from support.simulators.small_server import Answer, SmallServer, api_server, body, missing

FOLDER = "/apis/coordination.k8s.io/v1/namespaces/bek-system/leases"
SPEC = {
    "holderIdentity": "bek-operator-0_1f",
    "leaseDurationSeconds": 12,
    "acquireTime": "2026-11-22T10:00:00.000000Z",
    "renewTime": "2026-11-22T10:00:02.123456Z",
    "leaseTransitions": 3,
}
RECORD = LeaseRecord(
    holder="bek-operator-0_1f",
    seconds=12,
    acquired="2026-11-22T10:00:00.000000Z",
    renewed="2026-11-22T10:00:02.123456Z",
    transitions=3,
)
METADATA = {"name": "bek-operator", "namespace": "bek-system", "resourceVersion": "5", "labels": {"team": "flows"}}

Pair = tuple[SmallServer, Client]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Provide a server and a client of it."""
    async with api_server() as pair:
        yield pair


def leases(client: Client) -> Leases:
    """Return the Lease of the operator."""
    return Leases(client, "bek-system", "bek-operator")


async def test_a_lease_is_read(pair: Pair) -> None:
    """By its name, and there may be none."""
    server, client = pair
    server.answers = [body({"metadata": METADATA, "spec": SPEC}), missing("leases", "bek-operator")]
    found = await leases(client).read()
    assert found
    assert found.record == RECORD
    assert await leases(client).read() is None
    assert {(one.method, one.path) for one in server.requests} == {("GET", f"{FOLDER}/bek-operator")}


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": 5, "leaseDurationSeconds": "12", "renewTime": None}])
async def test_a_lease_that_says_nothing_has_no_holder(pair: Pair, spec: Any) -> None:
    """Every field is optional."""
    server, client = pair
    server.answers = [body({"metadata": METADATA, "spec": spec})]
    found = await leases(client).read()
    assert found
    assert found.record == LeaseRecord(holder="", seconds=0, acquired="", renewed="", transitions=0)


@pytest.mark.parametrize("answer", [{}, {"metadata": {}}, {"metadata": METADATA, "spec": "none"}])
async def test_what_is_not_a_lease_is_unavailable(pair: Pair, answer: dict[str, Any]) -> None:
    """A proxy's page, say."""
    server, client = pair
    server.answers = [body(answer)]
    with pytest.raises(Unavailable):
        await leases(client).read()


async def test_a_lease_is_created(pair: Pair) -> None:
    """With all of its fields."""
    server, client = pair
    server.answers = [body({"metadata": METADATA, "spec": SPEC})]
    assert (await leases(client).create(RECORD)).record == RECORD
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", FOLDER)
    assert (request.body["kind"], request.body["metadata"]["name"]) == ("Lease", "bek-operator")
    assert request.body["spec"] == SPEC


async def test_a_lease_is_replaced_at_its_version(pair: Pair) -> None:
    """What others put there stays."""
    server, client = pair
    spec = {**SPEC, "holderIdentity": "", "strategy": "OldestEmulationVersion"}
    server.answers = [body({"metadata": METADATA, "spec": spec}), body({"metadata": METADATA, "spec": SPEC})]
    known = await leases(client).read()
    assert known
    assert (await leases(client).replace(known, RECORD)).record == RECORD
    request = server.requests[-1]
    assert (request.method, request.path) == ("PUT", f"{FOLDER}/bek-operator")
    assert request.body == {"metadata": METADATA, "spec": {**SPEC, "strategy": "OldestEmulationVersion"}}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (body({}, 409), Conflict),
        (missing("leases", "bek-operator"), NotFound),
        (body({}, 404), Unavailable),
        (body({}, 503), Unavailable),
    ],
)
async def test_a_refused_write_is_an_error(pair: Pair, answer: Answer, error: type[ClusterError]) -> None:
    """As for any other object."""
    server, client = pair
    server.answers = [body({"metadata": METADATA, "spec": SPEC}), answer]
    known = await leases(client).read()
    assert known
    with pytest.raises(error):
        await leases(client).replace(known, RECORD)


async def test_only_the_leader_writes(pair: Pair) -> None:
    """It is asked before each write; reads are for everybody."""
    server, client = pair
    server.answers = [body({"kind": "Status"})]
    leads = True
    guarded = LeaderClient(client, lambda: leads)
    await guarded.request("PUT", "/status", query={"a": "b"}, body={"c": "d"}, headers={"X-E": "f"})
    leads = False
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(NotLeader, match="not sent"):
            await guarded.request(method, "/status", body={})
    await guarded.request("GET", "/object")
    assert [(one.method, one.path) for one in server.requests] == [("PUT", "/status"), ("GET", "/object")]
    assert (server.requests[0].query, server.requests[0].body) == ({"a": "b"}, {"c": "d"})
    assert server.requests[0].headers["X-E"] == "f"
