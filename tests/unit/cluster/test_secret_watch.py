"""The watch on Secrets: every change is told once, and what breaks goes on where it was."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.errors import ClusterError, Forbidden, Gone, Unavailable
from bek_operator.cluster.secret_watch import SecretWatch

ALL = "/api/v1/secrets"


class Over(Exception):
    """The script is at its end."""


class ScriptedClient(Client):
    """Answers lists and watches from a script; an error in it is raised where it stands. It connects to nobody."""

    def __init__(self, *script: Mapping[str, Any] | list[Any] | ClusterError) -> None:
        self.script = list(script)
        self.check_requested: list[tuple[str, str, Mapping[str, str]]] = []
        self.accepted: set[str] = set()
        self.silence = 0.0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Answer a list."""
        assert method == "GET"
        assert body is None
        answer = self._next("list", path, query or {}, headers or {})
        assert isinstance(answer, dict)
        return answer

    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], seconds: float, silence: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Answer a watch."""
        assert seconds > float(query["timeoutSeconds"])
        self.silence = silence
        answer = self._next("watch", path, query, headers)
        assert isinstance(answer, list)
        for event in answer:
            if isinstance(event, ClusterError):
                raise event
            yield event

    def _next(self, kind: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> object:
        self.check_requested.append((kind, path, dict(query)))
        self.accepted.add(headers["Accept"])
        if not self.script:
            raise Over
        answer = self.script.pop(0)
        if isinstance(answer, ClusterError):
            raise answer
        return answer

    def kinds(self) -> list[str]:
        """Return what was asked, in short: the version that a watch went on from, the page of a list."""
        return [
            f"watch {query['resourceVersion']}" if kind == "watch" else f"list {query.get('continue', '')}".strip()
            for kind, _, query in self.check_requested
        ]


def secret(name: str, version: str = "1") -> dict[str, Any]:
    """Return the metadata of a Secret."""
    return {"metadata": {"namespace": "messaging", "name": name, "resourceVersion": version}}


def page(*secrets: dict[str, Any], version: str = "10", token: str = "") -> dict[str, Any]:
    """Return one page of a list."""
    return {"metadata": {"resourceVersion": version, "continue": token}, "items": list(secrets)}


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    """Return one event of a watch."""
    return {"type": kind, "object": secret(name, version)}


EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}


async def follow(
    client: ScriptedClient, *namespaces: str, selector: str = ""
) -> tuple[list[tuple[str, str, str]], list[float]]:
    """Watch until the script is over; return the hints and the pauses that were made."""
    event_handlers: list[tuple[str, str, str]] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    watch = SecretWatch(client, namespaces, selector, lambda *on_event: event_handlers.append(on_event))
    with pytest.raises(ExceptionGroup) as ended:
        await watch.run(sleep)
    assert ended.group_contains(Over)
    return event_handlers, pauses


async def test_what_is_there_and_what_happens_is_told() -> None:
    """Page by page, then event by event; a bookmark only moves on, a Secret that is gone has no version."""
    client = ScriptedClient(
        page(secret("a", "1"), token="2nd"),
        page(secret("b", "2"), version="10"),
        [
            event("ADDED", "c", "11"),
            event("MODIFIED", "a", "12"),
            event("BOOKMARK", "", "20"),
            event("DELETED", "b", "21"),
        ],
    )
    event_handlers, _ = await follow(client)
    assert event_handlers == [
        ("messaging", "a", "1"),
        ("messaging", "b", "2"),
        ("messaging", "c", "11"),
        ("messaging", "a", "12"),
        ("messaging", "b", ""),
    ]
    assert client.kinds() == ["list", "list 2nd", "watch 10", "watch 21"]


async def test_nothing_but_metadata_is_asked_for() -> None:
    """And nothing of the types that cannot matter; bookmarks tell that the server is still there."""
    client = ScriptedClient(page(), [])
    await follow(client)
    assert all("as=PartialObjectMetadata" in accept for accept in client.accepted)
    for _, path, query in client.check_requested:
        assert path == ALL
        assert "helm.sh/release.v1" in query["fieldSelector"]
        assert "labelSelector" not in query
    assert client.check_requested[1][2]["allowWatchBookmarks"] == "true"
    assert 60 < client.silence < 150


async def test_the_watch_can_be_narrowed() -> None:
    """To namespaces, each with a watch of its own, and to a label."""
    client = ScriptedClient(page(), page())
    await follow(client, "a", "b", selector="app=flows")
    assert {path for _, path, _ in client.check_requested} == {
        "/api/v1/namespaces/a/secrets",
        "/api/v1/namespaces/b/secrets",
    }
    assert {query["labelSelector"] for _, _, query in client.check_requested} == {"app=flows"}


async def test_a_watch_that_ends_or_breaks_goes_on_where_it_was() -> None:
    """Nothing is listed again for that, and nothing is told twice."""
    client = ScriptedClient(
        page(version="10"),
        [event("ADDED", "a", "11")],
        [event("ADDED", "b", "12"), Unavailable("silence")],
        Unavailable("away"),
        [event("ADDED", "c", "13")],
    )
    event_handlers, _ = await follow(client)
    assert [name for _, name, _ in event_handlers] == ["a", "b", "c"]
    assert client.kinds() == ["list", "watch 10", "watch 11", "watch 12", "watch 12", "watch 13"]


@pytest.mark.parametrize("answer", [Gone("410"), [EXPIRED], [event("ADDED", "a", "11"), EXPIRED]])
async def test_a_watch_that_is_too_far_behind_lists_again(answer: list[Any] | ClusterError) -> None:
    """Whether it is told at once or in the stream."""
    client = ScriptedClient(page(version="10"), answer, page(secret("b", "30"), version="40"))
    event_handlers, _ = await follow(client)
    assert event_handlers[-1] == ("messaging", "b", "30")
    assert client.kinds() == ["list", "watch 10", "list", "watch 40"]


async def test_a_list_whose_pages_expire_begins_anew() -> None:
    """From its first page."""
    client = ScriptedClient(page(token="2nd"), Gone("410"), page(version="40"))
    await follow(client)
    assert client.kinds() == ["list", "list 2nd", "list", "watch 40"]


async def test_pauses_grow_while_nothing_is_heard() -> None:
    """Up to five seconds; an event makes them short again, a list does not."""
    away = [Unavailable("away")] * 10
    client = ScriptedClient(*away, page(), *away, [event("ADDED", "a", "11")], *away)
    _, pauses = await follow(client)
    assert pauses[0] == 0.5
    assert max(pauses) == 5
    assert pauses.count(0.5) == 2
    assert pauses[:10] == sorted(pauses[:10])


async def test_a_server_that_ends_every_watch_is_not_listed_again_and_again() -> None:
    """Only 410 says that there is no going on; what else ends a watch is tried again from where it was."""
    broken = {"type": "ERROR", "object": {"kind": "Status", "code": 500}}
    client = ScriptedClient(page(), *[[broken]] * 3, [EXPIRED], page(), [EXPIRED], page(), [EXPIRED])
    _, pauses = await follow(client)
    assert client.kinds()[:5] == ["list", *["watch 10"] * 4]
    assert pauses[:6] == [0.5, 1, 2, 4, 5, 5]


async def test_a_role_that_may_list_and_not_watch_lists_once() -> None:
    """All Secrets of a cluster are not to be listed twice a second for ever."""
    client = ScriptedClient(page(), *[Forbidden("403")] * 5)
    await follow(client)
    assert client.kinds() == ["list", *["watch 10"] * 6]


ODD: dict[str, Any] = {
    "no object": [{"type": "ADDED"}],
    "no metadata": [{"type": "ADDED", "object": {}}],
    "no type": [{"object": secret("a")}],
    "metadata that is none": [{"type": "ADDED", "object": {"metadata": "sesame"}}],
    "no name": [{"type": "ADDED", "object": {"metadata": {"namespace": "a", "resourceVersion": "1"}}}],
    "an error that says nothing": [{"type": "ERROR", "object": {}}],
    "an error that is none": [{"type": "ERROR", "object": "sesame"}],
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
async def test_an_event_that_is_none_is_no_end(answer: list[Any]) -> None:
    """Whatever stands between us and the API server writes; the watch goes on."""
    client = ScriptedClient(page(), answer, [event("ADDED", "a", "11")])
    event_handlers, _ = await follow(client)
    assert event_handlers == [("messaging", "a", "11")]
    assert client.kinds() == ["list", "watch 10", "watch 10", "watch 11"]


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": {"resourceVersion": "1"}, "items": [{}]}])
async def test_a_list_that_is_none_is_no_end(answer: dict[str, Any]) -> None:
    """The same for a list."""
    client = ScriptedClient(answer, page(secret("a", "1")))
    event_handlers, _ = await follow(client)
    assert event_handlers == [("messaging", "a", "1")]
