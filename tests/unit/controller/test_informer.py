"""The informer: what it holds after events, lists, reads and writes in any order, and what it asks the API server."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cluster.errors import BadRequest, ClusterError, Conflict, InvalidSelector, NotFound, Unavailable
from bek_operator.controller.informer import RESYNC_SECONDS, Informer
from bek_operator.crd.status import Status, render_status
from bek_operator.crd.types import ObjectKey
from support.builders import NAMESPACE, NUMBER, OTHER_NUMBER, body, spec_body
from support.fakes import FakeObjects, unavailable
from support.virtual_time import until, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

REF = ObjectKey(NAMESPACE, "flows")
WRITTEN = Status(generation=1, desired=1)


def show(version: str, numbers: tuple[str, ...] = (NUMBER,), **metadata: Any) -> dict[str, Any]:
    """Return an object as the watch delivers it."""
    return body(spec_body(numbers), resourceVersion=version, **metadata)


class Unparsed(dict[str, Any]):
    """An object of which nothing but its metadata may be looked at."""

    def get(self, key: str, default: Any = None) -> Any:
        """Fail."""
        raise AssertionError(f"{key} was looked at, instead of {default}")


def own(written: Mapping[str, Any]) -> Unparsed:
    """Return an object that must not be parsed."""
    return Unparsed(written)


class Heard:
    """A listener that records changes."""

    def __init__(self) -> None:
        self.objects: list[ObjectKey] = []
        self.secrets: list[tuple[str, str, str]] = []

    def on_object_change(self, ref: ObjectKey) -> None:
        """Record."""
        self.objects.append(ref)

    def on_secret_change(self, namespace: str, name: str, version: str) -> None:
        """Record."""
        self.secrets.append((namespace, name, version))


class Server(FakeObjects):
    """An API server whose answers tests hold up."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.answers.set()

    async def answer(self) -> None:
        """Wait until answers are let through."""
        await self.answers.wait()
        await super().answer()


class Scene:
    """An informer that holds one object, and who hears of changes."""

    def __init__(self) -> None:
        self.server = Server()
        self.server.create()
        self.informer = Informer(self.server, 10_000)
        self.heard = Heard()

    @property
    def version(self) -> str | None:
        """Return the version that is held."""
        return next((one.version for one in self.informer), None)


@asynccontextmanager
async def synced() -> AsyncIterator[Scene]:
    """Run an informer that knows all objects, heard by a listener."""
    scene = Scene()
    task = asyncio.create_task(scene.informer.run())
    await scene.informer.synced.wait()
    try:
        with scene.informer.listening(scene.heard):
            yield scene
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@virtual_time
async def test_an_event_is_the_object() -> None:
    """It is held as the watch delivered it, whoever listens hears of it, and nothing is read."""
    async with synced() as scene:
        for kind in ("ADDED", "MODIFIED", None):
            version = str(int(scene.version or 0) + 1)
            scene.informer.on_event(kind, show(version, (OTHER_NUMBER,)))
            found = await scene.informer.latest(REF)
            assert found
            assert found.version == version
        assert scene.heard.objects == [REF] * 3
        assert scene.server.reads == []


@virtual_time
async def test_what_is_held_is_no_news() -> None:
    """The watch begins with a list of its own, and is restarted now and then: no object of that is parsed again."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.informer.on_event(None, own(show(held.version, uid=held.uid)))
        assert await scene.informer.latest(REF) is held
        assert scene.heard.objects == []


@pytest.mark.parametrize("early", [True, False], ids=["before the answer", "after it"])
@virtual_time
async def test_the_event_of_an_own_write_is_no_news(*, early: bool) -> None:
    """It is not parsed, and nobody hears of it, whether it comes before the answer to the write or after it."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.server.answers.clear()
        writing = asyncio.create_task(scene.informer.write_status(held, WRITTEN))
        await asyncio.sleep(0)
        event = own(show(str(int(held.version) + 1), uid=held.uid, status=render_status(WRITTEN)))
        if early:
            scene.informer.on_event("MODIFIED", event)
        scene.server.answers.set()
        written = await writing
        if not early:
            scene.informer.on_event("MODIFIED", event)
        assert (written.version, written.status) == (event["metadata"]["resourceVersion"], WRITTEN)
        assert await scene.informer.latest(REF) is written
        assert scene.heard.objects == []


@virtual_time
async def test_an_edit_during_an_own_write_is_not_lost() -> None:
    """It came after the write, so that it is newer than the answer; its event follows that of the write."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.server.answers.clear()
        writing = asyncio.create_task(scene.informer.write_status(held, WRITTEN))
        await asyncio.sleep(0)
        version = int(held.version)
        scene.informer.on_event("MODIFIED", own(show(str(version + 1), uid=held.uid)))
        scene.informer.on_event("MODIFIED", show(str(version + 2), (OTHER_NUMBER,), uid=held.uid))
        assert scene.heard.objects == []
        scene.server.answers.set()
        await writing
        assert scene.version == str(version + 2)
        assert scene.heard.objects == [REF]


@pytest.mark.parametrize("error", [Conflict("another version"), NotFound("no such object")])
@virtual_time
async def test_a_write_that_is_refused_has_the_object_read(error: ClusterError) -> None:
    """Nobody waits for an event that may have come before, or never comes."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.server.refusal = error
        scene.server.touch(REF)
        with pytest.raises(type(error)):
            await scene.informer.write_status(held, WRITTEN)
        assert scene.server.reads == []
        scene.server.error = unavailable()
        for _ in range(2):
            with pytest.raises(ClusterError):
                await scene.informer.latest(REF)
        scene.server.error = None
        for _ in range(2):
            found = await scene.informer.latest(REF)
            assert found
            assert found.version == scene.server.resource(REF).version
        assert scene.server.reads == [REF] * 3


@pytest.mark.parametrize("early", [True, False], ids=["during the write", "after it"])
@virtual_time
async def test_a_newer_event_after_a_conflict_saves_the_read(*, early: bool) -> None:
    """It is what the write ran into."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.server.touch(REF)
        event = show(scene.server.resource(REF).version, uid=held.uid)

        async def write() -> None:
            with pytest.raises(Conflict):
                await scene.informer.write_status(held, WRITTEN)

        writing = asyncio.create_task(write())
        if early:
            await asyncio.sleep(0)
        else:
            await writing
        scene.informer.on_event("MODIFIED", event)
        await writing
        assert scene.version == event["metadata"]["resourceVersion"]
        assert scene.heard.objects == [REF]
        await scene.informer.latest(REF)
        assert scene.server.reads == []


@virtual_time
async def test_an_older_event_changes_nothing() -> None:
    """One that a list or a read has overtaken does not move the object back, and nobody hears of it."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        scene.informer.on_event("MODIFIED", show("1000", uid=uid))
        for version in ("999", "2"):
            scene.informer.on_event("MODIFIED", own(show(version, uid=uid)))
            scene.informer.on_event("ADDED", own(show(version, uid="an earlier one")))
        assert scene.version == "1000"
        assert scene.heard.objects == [REF]


@virtual_time
async def test_versions_without_an_order_have_the_object_read() -> None:
    """What the API server shows then is held, whatever the versions look like."""
    async with synced() as scene:
        scene.informer.on_event("MODIFIED", own(show("abc", uid=scene.server.resource(REF).uid)))
        assert scene.heard.objects == [REF]
        assert await scene.informer.latest(REF) == scene.server.resource(REF)
        assert scene.server.reads == [REF]


@virtual_time
async def test_deletion_and_re_creation_are_told_apart_by_uid() -> None:
    """The watch hands on the events of each uid by itself: the end of the first one may come last."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        scene.informer.on_event("ADDED", show("20", uid="second"))
        scene.informer.on_event("DELETED", show("19", uid=uid))
        assert scene.version == "20"
        scene.informer.on_event("DELETED", show("21", uid="second"))
        assert await scene.informer.latest(REF) is None
        assert scene.heard.objects == [REF, REF]


@virtual_time
async def test_an_end_that_is_older_than_what_is_held_is_checked() -> None:
    """The object has left the selection of labels and come back, and a read was faster than the watch."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        scene.informer.on_event("MODIFIED", show("20", uid=uid))
        scene.informer.on_event("DELETED", show("19", uid=uid))
        assert scene.version == "20"
        assert await scene.informer.latest(REF) == scene.server.resource(REF)
        assert scene.server.reads == [REF]
        assert scene.heard.objects == [REF, REF]


@virtual_time
async def test_a_selector_that_is_rejected_ends_it() -> None:
    """Only that: another refusal of the first list is retried."""
    scene = Scene()
    scene.server.list_error = BadRequest("HTTP 400")
    task = asyncio.create_task(scene.informer.run())
    await asyncio.sleep(60)
    assert not task.done()
    scene.server.list_error = InvalidSelector("--watch-label-selector", "a b", BadRequest("HTTP 400"))
    with pytest.raises(InvalidSelector):
        await task


@pytest.mark.parametrize("during", ["write", "read"])
@virtual_time
async def test_re_creation_during_a_request_is_not_lost(during: str) -> None:
    """Of each uid the last event counts once the answer is here, in whichever order they came."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.server.answers.clear()
        if during == "read":
            scene.informer.on_event("MODIFIED", show("abc", uid=held.uid))
            request: asyncio.Task[Any] = asyncio.create_task(scene.informer.latest(REF))
        else:
            request = asyncio.create_task(scene.informer.write_status(held, WRITTEN))
        await asyncio.sleep(0)
        scene.informer.on_event("ADDED", show("50", uid="second"))
        scene.informer.on_event("MODIFIED", show("51", uid="second"))
        scene.informer.on_event("DELETED", show("49", uid=held.uid))
        scene.server.answers.set()
        await request
        assert [(one.uid, one.version) for one in scene.informer] == [("second", "51")]


@virtual_time
async def test_a_deletion_during_a_read_is_not_undone_by_its_answer() -> None:
    """The answer was old when it arrived."""
    async with synced() as scene:
        held = await scene.informer.latest(REF)
        assert held
        scene.informer.on_event("MODIFIED", show("abc", uid=held.uid))
        scene.server.answers.clear()
        reading = asyncio.create_task(scene.informer.latest(REF))
        await asyncio.sleep(0)
        scene.informer.on_event("DELETED", show("30", uid=held.uid))
        scene.server.answers.set()
        await reading
        assert list(scene.informer) == []


@virtual_time
async def test_an_object_that_is_going_is_gone() -> None:
    """From its deletion on, however long a finalizer holds it back."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        for version in ("20", "21"):
            scene.informer.on_event("MODIFIED", show(version, uid=uid, deletionTimestamp="2026-11-22T10:00:00Z"))
            assert list(scene.informer) == []


HOSTILE: dict[str, Any] = {
    "no object": {},
    "metadata of another type": {"metadata": "x"},
    "no name": {"metadata": {"namespace": NAMESPACE, "uid": "u", "resourceVersion": "20"}},
    "a version of another type": {
        "metadata": {"namespace": NAMESPACE, "name": "flows", "uid": "u", "resourceVersion": 20}
    },
}


@pytest.mark.parametrize("event", HOSTILE.values(), ids=HOSTILE.keys())
@virtual_time
async def test_an_event_of_no_object_has_all_of_them_listed(event: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and whatever it was to tell is found in the list."""
    async with synced() as scene:
        scene.server.edit(REF, intervalSeconds=60)
        scene.informer.on_event("MODIFIED", event)
        await asyncio.sleep(1)
        assert list(scene.informer) == [scene.server.resource(REF)]
        assert scene.heard.objects == [REF]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@virtual_time
async def test_an_object_that_cannot_be_parsed_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """What it holds is not logged."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        scene.informer.on_event("MODIFIED", show("20", uid=uid, annotations=["sesame"]))
        assert scene.heard.objects == [REF]
        assert scene.informer.to_read == {REF}
        assert await scene.informer.latest(REF) == scene.server.resource(REF)
        assert scene.server.reads == [REF]
    assert "sesame" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@virtual_time
async def test_a_resync_uses_what_is_newer_and_asks_about_the_rest() -> None:
    """An edit, a deletion and a new object without an event; what is unchanged costs nothing."""
    async with synced() as scene:
        same = scene.server.create("same", spec_body())
        gone = scene.server.create("gone", spec_body())
        scene.informer.resync()
        await asyncio.sleep(1)
        assert scene.informer.to_read == {same, gone}
        for ref in (same, gone):
            await scene.informer.latest(ref)
        scene.server.reads.clear()
        scene.heard.objects.clear()
        scene.server.edit(REF, intervalSeconds=60)
        scene.server.delete(gone)
        new = scene.server.create("new", spec_body())
        await asyncio.sleep(RESYNC_SECONDS)
        assert sorted(scene.heard.objects) == sorted([REF, gone, new])
        for ref in scene.heard.objects:
            await scene.informer.latest(ref)
        assert {one.ref for one in scene.informer} == {REF, same, new}
        assert sorted(scene.server.reads) == [gone, new]


@virtual_time
async def test_a_restored_cluster_is_believed() -> None:
    """Its versions are lower than those that are held: the watch's are not taken, but what is read is."""
    async with synced() as scene:
        uid = scene.server.resource(REF).uid
        scene.informer.on_event("MODIFIED", show("1000", (OTHER_NUMBER,), uid=uid))
        scene.informer.resync()
        await asyncio.sleep(1)
        assert await scene.informer.latest(REF) == scene.server.resource(REF)


@virtual_time
async def test_a_list_that_began_before_a_deletion_does_not_bring_the_object_back() -> None:
    """About what is in a list and not held the API server is asked."""
    async with synced() as scene:
        scene.server.answers.clear()
        scene.informer.resync()
        await asyncio.sleep(1)
        scene.informer.on_event("DELETED", show("30", uid=scene.server.resource(REF).uid))
        scene.server.delete(REF)
        scene.server.answers.set()
        await asyncio.sleep(1)
        assert scene.informer.to_read == {REF}
        assert await scene.informer.latest(REF) is None
        assert list(scene.informer) == []


@virtual_time
async def test_without_its_definition_every_object_is_read_again() -> None:
    """The API server is asked about each before it is forgotten."""
    async with synced() as scene:
        scene.server.list_error = NotFound("no such resource")
        scene.informer.resync()
        await asyncio.sleep(1)
        assert scene.informer.to_read == {REF}


@virtual_time
async def test_a_list_that_fails_is_repeated() -> None:
    """After a few seconds, not at the next period: objects may have gone without an event."""
    async with synced() as scene:
        scene.server.list_error = Unavailable("away")
        scene.informer.resync()
        await asyncio.sleep(1)
        scene.server.delete(REF)
        scene.server.list_error = None
        await until(lambda: scene.informer.to_read == {REF}, 20)


@virtual_time
async def test_a_standby_holds_what_is_so_and_asks_nobody() -> None:
    """While nobody listens, events are taken in; who begins to listen starts from that, and from what is to be read."""
    scene = Scene()
    task = asyncio.create_task(scene.informer.run())
    await scene.informer.synced.wait()
    uid = scene.server.resource(REF).uid
    scene.informer.on_event("MODIFIED", show("20", uid=uid))
    scene.informer.on_event("MODIFIED", show("abc", uid=uid))
    scene.informer.on_secret_event(NAMESPACE, "flows-key", "7")
    assert (scene.version, {*scene.informer.to_read}) == ("20", {REF})
    assert scene.server.reads == []
    with scene.informer.listening(scene.heard):
        scene.informer.on_secret_event(NAMESPACE, "flows-key", "8")
    scene.informer.on_secret_event(NAMESPACE, "flows-key", "9")
    assert scene.heard.secrets == [(NAMESPACE, "flows-key", "8")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
