"""The watch on Secrets: every change is reported once, and a broken watch resumes."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.errors import BadRequest, ClusterError, Forbidden, Gone, Unavailable
from bek_operator.cluster.secret_watch import SecretWatch

ALL = "/api/v1/secrets"


class Over(Exception):
    """The script has ended."""


class ScriptedClient(Client):
    """A fake client that answers lists and watches from a script, and raises the errors in it."""

    def __init__(self, *script: Mapping[str, Any] | list[Any] | Exception) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
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
        seconds: float = 20.0,
        most: int = 0,
    ) -> dict[str, Any]:
        """Answer a list."""
        assert seconds > 0
        assert most > 0
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
        self.requests.append((kind, path, dict(query)))
        self.accepted.add(headers["Accept"])
        if not self.script:
            raise Over
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kinds(self) -> list[str]:
        """Return the requests in short: the resourceVersion of a watch, the page of a list."""
        return [
            f"watch {query['resourceVersion']}" if kind == "watch" else f"list {query.get('continue', '')}".strip()
            for kind, _, query in self.requests
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
    """Watch until the script ends; return the reported changes and the back-offs."""
    changes: list[tuple[str, str, str]] = []
    backoffs: list[float] = []

    async def sleep(seconds: float) -> None:
        backoffs.append(seconds)

    watch = SecretWatch(client, namespaces, selector, lambda *change: changes.append(change), lambda: 0.0)
    with pytest.raises(ExceptionGroup) as ended:
        await watch.run(sleep)
    assert ended.group_contains(Over)
    return changes, backoffs


async def test_lists_and_events_are_reported() -> None:
    """A bookmark only moves the resourceVersion; a deleted Secret has none."""
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
    changes, _ = await follow(client)
    assert changes == [
        ("messaging", "a", "1"),
        ("messaging", "b", "2"),
        ("messaging", "c", "11"),
        ("messaging", "a", "12"),
        ("messaging", "b", ""),
    ]
    assert client.kinds() == ["list", "list 2nd", "watch 10", "watch 21"]


async def test_only_metadata_is_requested() -> None:
    """Without the types that are never referenced, and with bookmarks as heartbeat."""
    client = ScriptedClient(page(), [])
    await follow(client)
    assert all("as=PartialObjectMetadata" in accept for accept in client.accepted)
    for _, path, query in client.requests:
        assert path == ALL
        assert "helm.sh/release.v1" in query["fieldSelector"]
        assert "labelSelector" not in query
    assert client.requests[1][2]["allowWatchBookmarks"] == "true"
    assert 60 < client.silence < 150


async def test_the_watch_can_be_narrowed() -> None:
    """To namespaces, each with a watch of its own, and by a label selector."""
    client = ScriptedClient(page(), page())
    await follow(client, "a", "b", selector="app=flows")
    assert {path for _, path, _ in client.requests} == {
        "/api/v1/namespaces/a/secrets",
        "/api/v1/namespaces/b/secrets",
    }
    assert {query["labelSelector"] for _, _, query in client.requests} == {"app=flows"}


async def test_a_rejected_selector_ends_the_watch() -> None:
    """The error names the flag and its value."""
    watch = SecretWatch(ScriptedClient(BadRequest("HTTP 400")), (), "a b", lambda *_: None, lambda: 0.0)
    with pytest.raises(ExceptionGroup) as ended:
        await watch.run()
    assert ended.group_contains(
        BadRequest, match=r"^--secret-selector: must be a label selector .*, not 'a b' \(HTTP 400\)$"
    )


async def test_another_bad_request_is_retried() -> None:
    """Without a selector, or once a list was accepted, it is not the selector's fault."""
    client = ScriptedClient(BadRequest("HTTP 400"), page(), BadRequest("HTTP 400"), [event("ADDED", "a", "11")])
    changes, _ = await follow(client)
    assert changes == [("messaging", "a", "11")]
    selecting = ScriptedClient(page(), BadRequest("HTTP 400"), [event("ADDED", "a", "11")])
    changes, _ = await follow(selecting, selector="app=flows")
    assert changes == [("messaging", "a", "11")]


async def test_an_ended_or_broken_watch_resumes() -> None:
    """Without another list, and without repeated reports."""
    client = ScriptedClient(
        page(version="10"),
        [event("ADDED", "a", "11")],
        [event("ADDED", "b", "12"), Unavailable("silence")],
        Unavailable("away"),
        [event("ADDED", "c", "13")],
    )
    changes, _ = await follow(client)
    assert [name for _, name, _ in changes] == ["a", "b", "c"]
    assert client.kinds() == ["list", "watch 10", "watch 11", "watch 12", "watch 12", "watch 13"]


@pytest.mark.parametrize("answer", [Gone("410"), [EXPIRED], [event("ADDED", "a", "11"), EXPIRED]])
async def test_an_expired_watch_lists_again(answer: list[Any] | ClusterError) -> None:
    """Whether 410 is the status or an event."""
    client = ScriptedClient(page(version="10"), answer, page(secret("b", "30"), version="40"))
    changes, _ = await follow(client)
    assert changes[-1] == ("messaging", "b", "30")
    assert client.kinds() == ["list", "watch 10", "list", "watch 40"]


async def test_what_the_watch_tells_of_itself() -> None:
    """How often it broke or expired, and when it last heard something: in the namespace where that is longest ago."""
    seconds = iter(range(100))
    client = ScriptedClient(page(), [event("ADDED", "a", "11"), Unavailable("silence")], [EXPIRED], page(), [])
    watch = SecretWatch(client, (), "", lambda *_: None, lambda: float(next(seconds)))
    assert (watch.restarts, watch.heard_at) == (0, None)

    async def sleep(_: float) -> None:
        """Do not wait."""

    with pytest.raises(ExceptionGroup):
        await watch.run(sleep)
    # Begun at 0, listed at 1, an event at 2, listed at 3.
    assert (watch.restarts, watch.heard_at) == (2, 3.0)

    lists_one = ScriptedClient(page(), Over())
    watch = SecretWatch(lists_one, ("a", "b"), "", lambda *_: None, lambda: float(next(seconds)))
    with pytest.raises(ExceptionGroup):
        await watch.run(sleep)
    assert watch.heard_at == 4.0


async def test_an_expired_list_restarts() -> None:
    """From its first page."""
    client = ScriptedClient(page(token="2nd"), Gone("410"), page(version="40"))
    await follow(client)
    assert client.kinds() == ["list", "list 2nd", "list", "watch 40"]


async def test_back_off_grows_until_an_event() -> None:
    """Up to five seconds; an event resets it, a list does not."""
    away = [Unavailable("away")] * 10
    client = ScriptedClient(*away, page(), *away, [event("ADDED", "a", "11")], *away)
    _, backoffs = await follow(client)
    assert backoffs[0] == 0.5
    assert max(backoffs) == 5
    assert backoffs.count(0.5) == 2
    assert backoffs[:10] == sorted(backoffs[:10])


async def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Until its cause is another one, or the watch has worked again."""
    away, refused = Unavailable("away"), Unavailable("refused")
    await follow(ScriptedClient(page(), away, away, refused, refused, [event("ADDED", "a", "11"), refused]))
    assert [record.getMessage() for record in caplog.records] == [
        f"Secret watch failed: {why}; reconnecting" for why in ("away", "refused", "refused")
    ]


async def test_other_errors_do_not_list_again() -> None:
    """Only 410 does; after any other error the watch resumes."""
    broken = {"type": "ERROR", "object": {"kind": "Status", "code": 500}}
    client = ScriptedClient(page(), *[[broken]] * 3, [EXPIRED], page(), [EXPIRED], page(), [EXPIRED])
    _, backoffs = await follow(client)
    assert client.kinds()[:5] == ["list", *["watch 10"] * 4]
    assert backoffs[:6] == [0.5, 1, 2, 4, 5, 5]


async def test_a_role_without_watch_lists_once() -> None:
    """Listing all Secrets of a cluster is expensive."""
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
async def test_an_invalid_event_does_not_end_the_watch(answer: list[Any]) -> None:
    """It may come from a proxy; the watch resumes."""
    client = ScriptedClient(page(), answer, [event("ADDED", "a", "11")])
    changes, _ = await follow(client)
    assert changes == [("messaging", "a", "11")]
    assert client.kinds() == ["list", "watch 10", "watch 10", "watch 11"]


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": {"resourceVersion": "1"}, "items": [{}]}])
async def test_an_invalid_list_does_not_end_the_watch(answer: dict[str, Any]) -> None:
    """It is repeated."""
    client = ScriptedClient(answer, page(secret("a", "1")))
    changes, _ = await follow(client)
    assert changes == [("messaging", "a", "1")]
