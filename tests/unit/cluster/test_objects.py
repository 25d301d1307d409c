"""Objects and Secrets of the API server: requests, and how responses are parsed."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidSelector,
    NotFound,
    NotServed,
    TooLarge,
    Unavailable,
)
from bek_operator.cluster.objects import Objects
from bek_operator.cluster.secrets import SecretReader
from bek_operator.crd.status import Status, render_status
from support.builders import body as bek
from support.builders import resource
from support.simulators.small_server import Answer, SmallServer, api_server, body, missing, text

Pair = tuple[SmallServer, Client]
ALL = "/apis/bek.dev/v1alpha1/businessencryptionkeys"
WITHIN = "/apis/bek.dev/v1alpha1/namespaces/messaging/businessencryptionkeys"
FLOWS = f"{WITHIN}/flows"
SELECTOR = "bek.dev/shard in (a,b),!old"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Provide a server and a client of it."""
    async with api_server() as pair:
        yield pair


def page(*names: str, token: str = "") -> dict[str, Any]:
    """Return one page of objects."""
    return {"metadata": {"continue": token}, "items": [bek(name=name) for name in names] or None}


async def test_all_objects_are_listed_page_by_page(pair: Pair) -> None:
    """Each object once."""
    server, client = pair
    server.answers = [body(page("a", "b", token="2nd")), body(page("c"))]
    found = [one.ref.name async for one in Objects(client, ()).list()]
    assert found == ["a", "b", "c"]
    assert [one.path for one in server.requests] == [ALL, ALL]
    assert [one.query.get("continue") for one in server.requests] == [None, "2nd"]


async def test_the_objects_of_namespaces_are_listed_one_by_one(pair: Pair) -> None:
    """There is no cluster-wide request."""
    server, client = pair
    server.answers = [body(page("a", token="2nd")), body(page()), body(page("b"))]
    found = [one.ref.name async for one in Objects(client, ("x", "y")).list()]
    assert found == ["a", "b"]
    assert [one.path.split("/")[5] for one in server.requests] == ["x", "x", "y"]
    assert [one.query.get("continue") for one in server.requests] == [None, "2nd", None]


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": 5, "items": []}, {"metadata": {}, "items": 5}])
async def test_an_invalid_list_is_unavailable(pair: Pair, answer: dict[str, Any]) -> None:
    """No object of an invalid page is yielded."""
    server, client = pair
    server.answers = [body(answer)]
    with pytest.raises(Unavailable):
        _ = [one async for one in Objects(client, ()).list()]


MALFORMED: dict[str, tuple[Any, str]] = {
    "not an object": (5, "?"),
    "without metadata": ({}, "?"),
    "metadata that is no object": ({"metadata": "odd"}, "?"),
    "without a uid": ({"metadata": {"namespace": "messaging", "name": "odd"}}, "messaging/odd"),
    "without a namespace": ({"metadata": {"name": "o" * 999, "namespace": 5}}, f"?/{'o' * 253}"),
}


@pytest.mark.parametrize(("malformed", "name"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_object_is_left_out_of_a_list(
    pair: Pair, malformed: object, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It hides no other object, before or after it, and the log names it."""
    server, client = pair
    first, last = page("a", token="2nd"), page("c")
    first["items"] += [malformed, bek(name="b")]
    server.answers = [body(first), body(last)]
    assert [one.ref.name async for one in Objects(client, ()).list()] == ["a", "b", "c"]
    (record,) = caplog.records
    assert record.getMessage() == "a malformed object in the list of businessencryptionkeys is left out"
    assert vars(record)["object"] == name


V1ALPHA1 = [{"version": "v1"}, {"version": "v1alpha1"}]
GROUPS = {"groups": [{"name": "apps", "versions": V1ALPHA1}, {"name": "bek.dev", "versions": V1ALPHA1}]}
RESOURCES = {"resources": [{"name": "businessencryptionkeys/status"}, {"name": "businessencryptionkeys"}]}
DISCOVERIES: dict[str, tuple[list[Answer], bool]] = {
    "named": ([body(GROUPS), body(RESOURCES)], True),
    "another kind of the group": ([body(GROUPS), body({"resources": [{"name": "others"}]})], False),
    "no such version": ([body({"groups": [{"name": "bek.dev", "versions": V1ALPHA1[:1]}]})], False),
    "no such group": ([body({"groups": [{"name": "apps", "versions": V1ALPHA1}]})], False),
}


@pytest.mark.parametrize(("answers", "served"), DISCOVERIES.values(), ids=DISCOVERIES.keys())
async def test_objects_are_served_when_discovery_has_them(pair: Pair, answers: list[Answer], *, served: bool) -> None:
    """It reads the groups, and then the resources of ours, as kopf does."""
    server, client = pair
    server.answers = answers
    assert await Objects(client, ()).are_served() is served
    assert [one.path for one in server.requests] == ["/apis", "/apis/bek.dev/v1alpha1"][: len(server.requests)]


@pytest.mark.parametrize(
    "answers", [[body([])], [body({})], [body(GROUPS), body({"resources": 1})], [body(GROUPS), body({}, 404)]]
)
async def test_an_invalid_discovery_is_unavailable(pair: Pair, answers: list[Answer]) -> None:
    """It counts neither as served nor as missing."""
    server, client = pair
    server.answers = answers
    with pytest.raises(Unavailable):
        await Objects(client, ()).are_served()


async def test_an_object_is_read_by_name(pair: Pair) -> None:
    """None when it does not exist, or the CRD is not installed."""
    server, client = pair
    gone = body({"groups": []})
    server.answers = [body(page("flows")), body(page()), body({}, 404), gone, body({"kind": "Status"})]
    objects = Objects(client, ())
    found = await objects.read("messaging", "flows")
    assert found == resource()
    assert (server.requests[0].path, server.requests[0].query) == (WITHIN, {"fieldSelector": "metadata.name=flows"})
    assert await objects.read("messaging", "flows") is None
    assert await objects.read("messaging", "flows") is None
    with pytest.raises(Unavailable):
        await objects.read("messaging", "flows")


async def test_a_404_of_a_list_is_no_word_of_its_objects(pair: Pair) -> None:
    """They do not exist where the CRD is not installed, which discovery knows; otherwise the request has failed."""
    server, client = pair
    objects = Objects(client, ())
    for found, error in ((body({"groups": []}), NotFound), (body(GROUPS), NotServed)):
        server.answers = [text("404 page not found", 404), found, body(RESOURCES)]
        with pytest.raises(error):
            _ = [one async for one in objects.list()]
    server.answers = [text("404 page not found", 404), body(GROUPS), body(RESOURCES)]
    with pytest.raises(NotServed):
        await objects.read("messaging", "flows")


async def test_only_objects_of_the_selection_are_listed_and_read(pair: Pair) -> None:
    """The API server judges the labels, in every request; namespaces narrow it further."""
    server, client = pair
    server.answers = [body(page("a", token="2nd")), body(page()), body(page("b")), body(page())]
    objects = Objects(client, ("x", "y"), SELECTOR)
    assert [one.ref.name async for one in objects.list()] == ["a", "b"]
    assert await objects.read("x", "moved") is None
    assert [one.path.split("/")[5] for one in server.requests] == ["x", "x", "y", "x"]
    assert {one.query["labelSelector"] for one in server.requests} == {SELECTOR}


async def test_a_selector_that_is_rejected_is_named(pair: Pair) -> None:
    """With its flag; a page that is refused after the first, or without a selector, is not its fault."""
    server, client = pair
    server.answers = [body({}, 400), body({}, 400), body(page(token="2nd")), body({}, 400)]
    with pytest.raises(
        InvalidSelector, match=r"^--watch-label-selector: must be a label selector .*, not 'a b' \(.*HTTP 400\)$"
    ):
        _ = [one async for one in Objects(client, (), "a b").list()]
    for objects in (Objects(client, ()), Objects(client, (), SELECTOR)):
        with pytest.raises(BadRequest) as refused:
            _ = [one async for one in objects.list()]
        assert not isinstance(refused.value, InvalidSelector)


async def test_a_status_is_put_with_uid_and_resource_version(pair: Pair) -> None:
    """So that the API server refuses it for a changed or re-created object."""
    server, client = pair
    flows = resource(uid="one", resourceVersion="5")
    server.answers = [body(bek(resourceVersion="6"))]
    assert await Objects(client, ()).write_status(flows, Status(generation=2, desired=1, signed=1)) == "6"
    (received,) = server.requests
    assert (received.method, received.path) == ("PUT", f"{FLOWS}/status")
    assert received.body["metadata"] == {
        "namespace": "messaging",
        "name": "flows",
        "uid": "one",
        "resourceVersion": "5",
    }
    assert received.body["status"] == render_status(Status(generation=2, desired=1, signed=1))
    assert "spec" not in received.body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (body({}, 409), Conflict),
        (missing("businessencryptionkeys", "flows"), NotFound),
        (body({}, 404), NotServed),
        (body({}, 403), Forbidden),
        (body({}, 422), Unavailable),
        (body({}), Unavailable),
    ],
)
async def test_a_refused_status_is_an_error(pair: Pair, answer: Answer, error: type[Exception]) -> None:
    """So is a response without the new resourceVersion."""
    server, client = pair
    server.answers = [answer]
    with pytest.raises(error):
        await Objects(client, ()).write_status(resource(), Status())


def listed(*items: dict[str, Any]) -> Answer:
    """Return the answer to a list."""
    return body({"items": items, "metadata": {}})


async def test_a_status_is_written_although_others_edit_labels(pair: Pair) -> None:
    """What concerns nobody here was changed between our read and our write, several times in a row."""
    server, client = pair
    server.answers = [
        body({}, 409),
        listed(bek(uid="one", resourceVersion="6")),
        body({}, 409),
        listed(bek(uid="one", resourceVersion="7")),
        body(bek(uid="one", resourceVersion="8")),
    ]
    assert await Objects(client, ()).write_status(resource(uid="one", resourceVersion="5"), Status()) == "8"
    written = [one.body["metadata"]["resourceVersion"] for one in server.requests if one.method == "PUT"]
    assert written == ["5", "6", "7"]


@pytest.mark.parametrize(
    "current",
    [
        listed(bek(uid="one", resourceVersion="6", generation=7)),
        listed(bek(uid="two", resourceVersion="6")),
        listed({**bek(uid="one", resourceVersion="6"), "status": render_status(Status(generation=2))}),
        listed(),
    ],
    ids=["another spec", "re-created", "another status", "deleted"],
)
async def test_a_status_of_what_is_no_longer_true_is_not_written(pair: Pair, current: Answer) -> None:
    """The conflict is left to who computed the status."""
    server, client = pair
    server.answers = [body({}, 409), current]
    with pytest.raises(Conflict):
        await Objects(client, ()).write_status(resource(uid="one", resourceVersion="5"), Status())
    assert [one.method for one in server.requests] == ["PUT", "GET"]


async def test_a_status_that_meets_conflicts_for_ever_is_given_up(pair: Pair) -> None:
    """For this time: the caller tries again, but not without a pause."""
    server, client = pair
    server.answers = [body({}, 409), listed(bek())] * 4 + [body({}, 409)]
    with pytest.raises(Conflict):
        await Objects(client, ()).write_status(resource(), Status())
    assert len(server.requests) == 9


async def test_a_secret_is_read_with_its_entries_decoded(pair: Pair) -> None:
    """Invalid base64 is empty; the repr shows no content."""
    server, client = pair
    data = {"password": "c2VzYW1l", "blank": "", "none": None, "odd": "%"}
    server.answers = [body({"metadata": {"resourceVersion": "7"}, "data": data})]
    found = await SecretReader(client).read("messaging", "a/b", dict.fromkeys(data, 6))
    assert found
    assert found.version == "7"
    assert found.data == {"password": b"sesame", "blank": b"", "none": b"", "odd": b""}
    assert "sesame" not in repr(found)
    assert server.requests[0].path == "/api/v1/namespaces/messaging/secrets/a%2Fb"


async def test_the_field_managers_of_a_secrets_entries_are_returned(pair: Pair) -> None:
    """Not those that own no entries, nor unsafe names; at most four."""
    server, client = pair

    def owner(name: object, *owned: str) -> dict[str, Any]:
        return {"manager": name, "operation": "Update", "fieldsV1": {field: {} for field in owned or ("f:data",)}}

    managed = [
        owner("kubectl-label", "f:metadata"),
        owner("external-secrets"),
        owner("external-secrets", "f:data", "f:type"),
        *(owner(odd) for odd in ("", "a b", "é", "-x", "x" * 64, "two\nlines", 7, None)),
        {"manager": "empty"},
        {"manager": "odd", "fieldsV1": "f:data"},
        "odd",
        *(owner(f"manager-{index}.example/x") for index in range(9)),
    ]
    for fields, expected in [
        (managed, ("external-secrets", *(f"manager-{index}.example/x" for index in range(3)))),
        ("odd", ()),
        (None, ()),
    ]:
        server.answers = [body({"metadata": {"resourceVersion": "7", "managedFields": fields}})]
        found = await SecretReader(client).read("messaging", "flows-key", {})
        assert found
        assert found.writers == expected


async def test_a_secret_without_entries_is_empty(pair: Pair) -> None:
    """A missing one is None; a forbidden or an invalid one is an error, and so is a 404 of somebody else."""
    server, client = pair
    server.answers = [
        body({"metadata": {"resourceVersion": "7"}}),
        missing("secrets", "flows-key"),
        body({}, 403),
        body({"data": {}}),
        text("<html>not found</html>", 404),
    ]
    secrets = SecretReader(client)
    found = await secrets.read("messaging", "flows-key", {"private.pem": 9})
    assert found
    assert found.data == {}
    assert await secrets.read("messaging", "flows-key", {"private.pem": 9}) is None
    for error in (Forbidden, Unavailable, NotServed):
        with pytest.raises(error):
            await secrets.read("messaging", "flows-key", {"private.pem": 9})


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(pair: Pair) -> None:
    """However many numbers objects have, few megabytes of a list are in memory; each object is yielded once."""
    server, client = pair
    large = {"note": "x" * 5_000_000, **page()}
    server.answers = [body(large), body(large), body(page("a", token="2nd")), body(page("b"))]
    found = [one.ref.name async for one in Objects(client, ()).list()]
    assert found == ["a", "b"]
    assert [one.query["limit"] for one in server.requests] == ["200", "100", "50", "63"]
    assert [one.query.get("continue") for one in server.requests] == [None, None, None, "2nd"]


async def test_an_object_that_is_larger_than_a_page_has_its_own(pair: Pair) -> None:
    """A response of any size that etcd can hold is read, and none beyond."""
    server, client = pair
    server.answers = [body({"note": "x" * 5_000_000, **page("a")})]
    assert [one.ref.name async for one in Objects(client, ()).list()] == ["a"]
    server.answers = [body({"note": "x" * 17_000_000, **page("a")})]
    with pytest.raises(TooLarge, match=r"^GET .*: the response has more than 16777216 bytes$"):
        _ = [one async for one in Objects(client, ()).list()]


async def test_no_more_of_a_secret_is_kept_than_is_wanted(pair: Pair) -> None:
    """A wanted entry to one byte more than is of use, and a few names of the others."""
    server, client = pair
    others = {f"other-{index:04d}": encoded(b"sesame") for index in reversed(range(1000))}
    large = {"short": encoded(b"x" * 7), "long": encoded(b"xyz" * 300_000), **others}
    server.answers = [body({"metadata": {"resourceVersion": "7"}, "data": large})]
    for most in (7, 8, 9, 1024):
        found = await SecretReader(client).read("messaging", "flows-key", {"short": 7, "long": most, "none": 7})
        assert found
        assert found.data == {
            "short": b"x" * 7,
            "long": (b"xyz" * 300_000)[: most + 1],
            **{f"other-{index:04d}": b"" for index in range(5)},
        }


def encoded(content: bytes) -> str:
    """Return an entry as the API server shows it."""
    return base64.b64encode(content).decode()
