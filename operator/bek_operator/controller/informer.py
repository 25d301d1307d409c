"""The informer: the BusinessEncryptionKeys as the API server last showed them.

It runs in every replica, fed by a first LIST, by the watch, and by a LIST now and then; whoever works on the objects
starts from what it holds and hears of changes. What the watch delivers is the object at its resourceVersion, so that
an object is read again only where the held version may be out of date.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, Protocol

from bek_operator.cluster.client import validating
from bek_operator.cluster.errors import ClusterError, Conflict, InvalidSelector, NotFound
from bek_operator.cluster.objects import KIND, NOT_INSTALLED
from bek_operator.cluster.versions import is_newer
from bek_operator.controller.quota import MOST_BEYOND, Quota
from bek_operator.crd.parse import BusinessEncryptionKey, parse_object
from bek_operator.crd.status import Status
from bek_operator.crd.types import ObjectKey

log = logging.getLogger(__name__)

RESYNC_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 15.0

_Event = tuple[str | None, Mapping[str, Any]]


class ObjectClient(Protocol):
    """The BusinessEncryptionKeys of the served namespaces in the API server."""

    def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object."""
        ...

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return the object, `None` when there is none."""
        ...

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace the status of this very object at this very version; return its new resourceVersion."""
        ...


class Listener(Protocol):
    """Hears of changes; the objects themselves are in the informer."""

    def on_object_change(self, ref: ObjectKey) -> None:
        """Take note that an object has changed, or has to be read."""
        ...

    def on_secret_change(self, namespace: str, name: str, version: str) -> None:
        """Take note that a Secret has another version, or with an empty one that it is gone."""
        ...


class Informer:
    """Holds the objects; `synced` is set once all of them are known.

    Args:
        client: Has them.
        most: How many phone numbers of a namespace are held; of an object beyond that spec and rows are left out.
    """

    def __init__(self, client: ObjectClient, most: int) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._most = most
        self._quota = Quota(most)
        self._left_out: Counter[str] = Counter()
        self._logged_left_out: Mapping[str, int] = {}
        self._objects: dict[ObjectKey, BusinessEncryptionKey] = {}
        self._to_read: set[ObjectKey] = set()
        self._held_back: dict[ObjectKey, dict[str, _Event]] = {}
        self._listener: Listener | None = None
        self._resync_soon = asyncio.Event()

    def __iter__(self) -> Iterator[BusinessEncryptionKey]:
        return iter(list(self._objects.values()))

    @property
    def to_read(self) -> frozenset[ObjectKey]:
        """Return the objects that have to be read before anything is made of them; some may be unknown, or gone."""
        return frozenset(self._to_read)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Have a listener hear of changes inside the block; there is one at a time."""
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    # What comes in.

    def on_event(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of the watch; of one that is not understood the object is read, or all are listed."""
        try:
            ref, uid, version = _identity(body)
        except ClusterError:
            log.warning("the watch on BusinessEncryptionKeys delivered an object without a name; listing all objects")
            self.resync()
            return
        if (held_back := self._held_back.get(ref)) is not None:
            held_back.pop(uid, None)
            held_back[uid] = kind, body
        elif kind == "DELETED":
            known = self._objects.get(ref)
            if known and known.uid == uid and is_newer(known.version, version):
                # With a label selector it also comes when a label changes, and may have changed back.
                self._mark_to_read(ref)
            # Another uid is of one that was created under its name: the end of the first one is old news then.
            elif known is None or known.uid == uid:
                self._set(ref, None)
        else:
            self._observe(ref, uid, version, body)

    def on_secret_event(self, namespace: str, name: str, version: str) -> None:
        """Hand on that a Secret was added, changed or (without version) deleted."""
        if self._listener:
            self._listener.on_secret_change(namespace, name, version)

    def resync(self) -> None:
        """List the objects soon: some may have gone without an event."""
        self._resync_soon.set()

    async def run(self) -> None:
        """List all objects until that succeeds, then periodically, until cancelled.

        Raises:
            InvalidSelector: the API server rejects the label selector.
        """
        await self._list_until_synced()
        log.info("caches synced", extra={"objects": len(self._objects)})
        self.synced.set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._resync_soon.wait()
            self._resync_soon.clear()
            try:
                await self._resync()
            except ClusterError as error:
                log.warning("cannot list BusinessEncryptionKeys: %s; retrying", error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._resync_soon.set()

    async def _list_until_synced(self) -> None:
        pause, logged = 0.5, ""
        while True:
            try:
                self._objects.clear()
                self._quota = Quota(self._most)
                self._left_out.clear()
                async for resource in self._client.list():
                    self._put(resource.ref, resource)
            except NotFound:
                message = NOT_INSTALLED
            except InvalidSelector:
                raise
            except ClusterError as error:
                message = f"cannot list BusinessEncryptionKeys: {error}; retrying"
            else:
                self._log_left_out()
                return
            if message != logged:
                log.warning(message)
                logged = message
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_SECONDS)

    async def _resync(self) -> None:
        """Compare the objects with a list, because a watch that was restarted does not report deletions in between.

        A list and the watch may overtake each other, so only a newer object is taken from a list; every other one that
        differs is read.
        """
        listed = set[ObjectKey]()
        self._left_out.clear()
        try:
            async for resource in self._client.list():
                listed.add(resource.ref)
                self._compare(resource)
        except NotFound:  # the CRD is gone, and so is every object
            listed.clear()
        for ref in {*self._objects} - listed - {*self._held_back}:
            self._mark_to_read(ref)
        self._log_left_out()

    def _compare(self, listed: BusinessEncryptionKey) -> None:
        ref, known = listed.ref, self._objects.get(listed.ref)
        if ref in self._held_back or (known and (known.uid, known.version) == (listed.uid, listed.version)):
            return
        if known and is_newer(listed.version, known.version):
            self._set(ref, listed)
            return
        if known is None:
            # It may have been deleted since, or there is no room for it: then it is not read.
            self._put(ref, listed)
        if ref in self._objects:
            self._mark_to_read(ref)

    # What is held.

    async def latest(self, ref: ObjectKey) -> BusinessEncryptionKey | None:
        """Return an object, `None` when there is none; one that may be out of date is read first.

        Raises:
            ClusterError: the API server did not answer.
        """
        if ref in self._to_read:
            with self._holding_back(ref):
                found = await self._client.read(*ref)
                # A read is not served from a cache, so that its answer counts whatever was held.
                self._to_read.discard(ref)
                self._put(ref, found)
        return self._objects.get(ref)

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> BusinessEncryptionKey:
        """Replace the status of an object at its resourceVersion; return the object as it is now.

        Raises:
            ClusterError: `Conflict` or `NotFound` when the object was changed, deleted or re-created; what is held is
                read then, unless the watch delivers something newer before.
        """
        ref = resource.ref
        with self._holding_back(ref):
            try:
                version = await self._client.write_status(resource, await self._with_rows(resource, status))
            except (Conflict, NotFound):
                self._to_read.add(ref)
                raise
            written = replace(resource, version=version, status=status)
            self._put(ref, written)
        return written

    async def _with_rows(self, resource: BusinessEncryptionKey, status: Status) -> Status:
        """Return a status with the rows that the API server has, if they are not held: they limit publishes."""
        current = await self._client.read(*resource.ref) if resource.is_over_quota else None
        return replace(status, rows=current.status.rows) if current else status

    @contextmanager
    def _holding_back(self, ref: ObjectKey) -> Iterator[None]:
        """Keep events back until a request's answer is here: that of our own write is none then.

        Of each object that has had the name the last event counts.
        """
        self._held_back[ref] = {}
        try:
            yield
        finally:
            for kind, body in self._held_back.pop(ref).values():
                self.on_event(kind, body)

    def _observe(self, ref: ObjectKey, uid: str, version: str, body: Mapping[str, Any]) -> None:
        """Take in an object that the watch delivered, unless it is known or older than what is held."""
        known = self._objects.get(ref)
        if known and (known.uid, known.version) == (uid, version):
            return
        newer = known is None or is_newer(version, known.version)
        if newer:
            try:
                with validating(f"a {KIND}"):
                    self._set(ref, parse_object(body))
            except ClusterError:
                log.warning("the watch delivered a malformed object; reading it", extra={"object": "/".join(ref)})
                self._mark_to_read(ref)
        elif newer is None:
            self._mark_to_read(ref)

    def _set(self, ref: ObjectKey, resource: BusinessEncryptionKey | None) -> None:
        """Hold an object as it is now known to be, or none; who listens hears of it."""
        self._to_read.discard(ref)
        self._put(ref, resource)
        self._notify(ref)

    def _put(self, ref: ObjectKey, resource: BusinessEncryptionKey | None) -> None:
        if resource is None or resource.deleted:
            self._objects.pop(ref, None)
            changed = self._quota.drop(ref)
        else:
            # One that is held without its numbers has been counted.
            changed = frozenset() if resource.is_over_quota else self._quota.update(resource, resource.counted_numbers)
            self._objects[ref] = resource
            self._limit(ref)
        for other in changed & self._objects.keys():
            if self._quota.serves(other):
                self._mark_to_read(other)
            else:
                self._limit(other)
                self._notify(other)

    def _limit(self, ref: ObjectKey) -> None:
        """Hold no more of an object than the quota of its namespace allows."""
        resource = self._objects[ref]
        if not self._quota.knows(ref):
            del self._objects[ref]
            self._to_read.discard(ref)
            self._left_out[ref.namespace] += 1
        elif not (resource.is_over_quota or self._quota.serves(ref)):
            self._objects[ref] = resource.over_quota(self._most)

    def _log_left_out(self) -> None:
        """Log how many objects of each namespace are not held after a list, if that has changed."""
        if self._left_out != self._logged_left_out:
            for namespace, count in self._left_out.items():
                log.warning(
                    "namespace %s: %d objects are not reconciled, and their status is left unchanged: more than %d "
                    "exceed --max-numbers-per-namespace",
                    *(namespace, count, MOST_BEYOND),
                )
            self._logged_left_out = dict(self._left_out)

    def _mark_to_read(self, ref: ObjectKey) -> None:
        self._to_read.add(ref)
        self._notify(ref)

    def _notify(self, ref: ObjectKey) -> None:
        if self._listener:
            self._listener.on_object_change(ref)


def _identity(body: Mapping[str, Any]) -> tuple[ObjectKey, str, str]:
    """Return the name, uid and resourceVersion of an object.

    Raises:
        ClusterError: it has none.
    """
    with validating(f"a {KIND}"):
        metadata = body["metadata"]
        namespace, name, uid, version = (metadata[key] for key in ("namespace", "name", "uid", "resourceVersion"))
        if not all(isinstance(one, str) and one for one in (namespace, name, uid, version)):
            raise TypeError
        return ObjectKey(namespace, name), uid, version
