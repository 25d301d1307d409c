"""An API server's objects and Secrets, and the APIs of phone numbers, in memory.

uid, resourceVersion and generation are checked as by the API server. Answers can be delayed, so that they are out of
date when they arrive.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from bek_operator.cluster.errors import ClusterError, Conflict, Forbidden, NotFound, Unavailable
from bek_operator.cluster.secrets import SecretContent
from bek_operator.crd.parse import REQUESTED_AT, BusinessEncryptionKey, parse_object
from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import Status, render_status
from bek_operator.crd.types import ObjectKey, SignatureStatus
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.status.events import Event
from bek_operator.times import rfc3339
from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, NAMESPACE, NOW, body


def now() -> float:
    """Return the time of the running loop as seconds since the epoch."""
    return NOW + asyncio.get_running_loop().time()


def number(index: int) -> str:
    """Return the phone number with an index."""
    return f"+1555{index:07d}"


def numbers(count: int) -> list[str]:
    """Return the phone numbers from 1 to `count`."""
    return [number(index) for index in range(1, count + 1)]


class _Server:
    """What objects and Secrets share: resourceVersions, outages and latency."""

    def __init__(self) -> None:
        self.error: ClusterError | None = None
        self.seconds = 0.0
        self._version = 0

    def next_version(self) -> str:
        self._version += 1
        return str(self._version)

    async def answer(self) -> None:
        """Wait for the latency, or raise the error of an outage."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error


class FakeObjects(_Server):
    """BusinessEncryptionKeys in the API server, and the edits of users."""

    def __init__(self) -> None:
        super().__init__()
        self.event_handlers: list[Callable[[str | None, Mapping[str, Any]], None]] = []
        self._bodies: dict[ObjectKey, dict[str, Any]] = {}
        self.reads: list[ObjectKey] = []
        self.writes: list[tuple[float, ObjectKey, dict[str, Any]]] = []
        self.refusal: ClusterError | None = None
        self.refused = 0
        self.list_error: ClusterError | None = None

    def create(self, name: str = "flows", wanted: dict[str, Any] | None = None, created: float = 0.0) -> ObjectKey:
        """Create an object, `created` seconds after the first one."""
        ref = ObjectKey(NAMESPACE, name)
        version = self.next_version()
        self._bodies[ref] = body(
            wanted, name=name, created=NOW + created, uid=f"uid-{version}", resourceVersion=version
        )
        self._notify("ADDED", ref)
        return ref

    def edit(self, ref: ObjectKey, **wanted: Any) -> None:
        """Change fields of an object's spec."""
        found = self._bodies[ref]
        found["spec"] = {**found["spec"], **wanted}
        found["metadata"]["generation"] += 1
        self._changed(ref)

    def request_check(self, ref: ObjectKey, value: str) -> None:
        """Request a check of all numbers by the annotation."""
        self._bodies[ref]["metadata"]["annotations"][REQUESTED_AT] = value
        self._changed(ref)

    def label(self, ref: ObjectKey, name: str, value: str) -> None:
        """Give an object a label."""
        self._bodies[ref]["metadata"].setdefault("labels", {})[name] = value
        self._changed(ref)

    def touch(self, ref: ObjectKey) -> None:
        """Change only what the operator ignores."""
        self._changed(ref)

    def overwrite_status(self, ref: ObjectKey, status: dict[str, Any]) -> None:
        """Write a status as another client."""
        self._bodies[ref]["status"] = status
        self._changed(ref)

    def delete(self, ref: ObjectKey) -> None:
        """Delete an object."""
        self._bodies[ref]["metadata"]["resourceVersion"] = self.next_version()
        self._notify("DELETED", ref)
        del self._bodies[ref]

    def mark_deleted(self, ref: ObjectKey) -> None:
        """Delete an object that another client's finalizer keeps."""
        self._bodies[ref]["metadata"]["deletionTimestamp"] = rfc3339(now())
        self._changed(ref)

    def status(self, ref: ObjectKey) -> dict[str, Any]:
        """Return an object's status."""
        found: dict[str, Any] = self._bodies[ref]["status"]
        return found

    def is_current(self, ref: ObjectKey) -> bool:
        """Return whether an object's status is of its present generation."""
        generation = self._bodies[ref]["metadata"]["generation"]
        return bool(self.status(ref)["observedGeneration"] == generation)

    def ready(self, ref: ObjectKey) -> tuple[str, str]:
        """Return status and reason of Ready, empty texts before there is one."""
        for condition in self.status(ref).get("conditions", ()):
            if condition["type"] == "Ready":
                return condition["status"], condition["reason"]
        return "", ""

    def reasons(self, ref: ObjectKey) -> dict[str, str]:
        """Return the reason of every number."""
        return {row["phoneNumber"]: row["reason"] for row in self.status(ref).get("phoneNumbers", ())}

    def body(self, ref: ObjectKey) -> dict[str, Any]:
        """Return a copy of an object as the API server would."""
        return deepcopy(self._bodies[ref])

    def resource(self, ref: ObjectKey) -> BusinessEncryptionKey:
        """Return an object as it is now."""
        return parse_object(self._body(ref))

    def _body(self, ref: ObjectKey) -> dict[str, Any]:
        found = self._bodies[ref]
        # Spec and status are replaced as a whole, and never changed where they are.
        return {**found, "metadata": deepcopy(found["metadata"])}

    async def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object."""
        found = [self.resource(ref) for ref in self._bodies]
        await self.answer()
        if self.list_error:
            raise self.list_error
        for resource in found:
            yield resource

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return an object."""
        ref = ObjectKey(namespace, name)
        self.reads.append(ref)
        found = self.resource(ref) if ref in self._bodies else None
        await self.answer()
        return found

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace a status if uid and resourceVersion match, unless `refusal` is set."""
        if self.error:
            await self.answer()
        if self.refusal:
            self.refused += 1
            raise self.refusal
        found = self._bodies.get(resource.ref)
        if found is None:
            raise NotFound("no such object")
        metadata = found["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (resource.uid, resource.version):
            self.refused += 1
            raise Conflict("another version")
        written_status = render_status(status)
        self.writes.append((now(), resource.ref, written_status))
        if found["status"] != written_status:
            found["status"] = written_status
            self._changed(resource.ref)
        written: str = metadata["resourceVersion"]
        await self.answer()
        return written

    def _changed(self, ref: ObjectKey) -> None:
        self._bodies[ref]["metadata"]["resourceVersion"] = self.next_version()
        self._notify("MODIFIED", ref)

    def show_all(self) -> None:
        """Show all objects to those who watch, as kopf does when it begins."""
        for ref in self._bodies:
            self._notify(None, ref)

    def _notify(self, kind: str | None, ref: ObjectKey) -> None:
        for on_event in self.event_handlers:
            on_event(kind, self._body(ref))


class FakeSecrets(_Server):
    """Secrets as the API server keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.event_handlers: list[Callable[[str, str, str], None]] = []
        self._contents: dict[tuple[str, str], SecretContent] = {}
        self.forbidden: set[str] = set()
        self.writer = "kubectl"
        self.reads: list[str] = []

    def put(self, name: str, **entries: str) -> None:
        """Create or replace a Secret; dots in the names of entries are written as underscores."""
        version = self.next_version()
        data = {entry.replace("_", "."): text.encode() for entry, text in entries.items()}
        self._contents[NAMESPACE, name] = SecretContent(version, data, (self.writer,))
        self.notify(NAMESPACE, name, version)

    def put_key(self, pair: keys.KeyPair) -> None:
        """Put a key into the Secret that objects name."""
        self.put(KEY_SECRET, public_pem=pair.public)

    def put_credentials(self, password: str) -> None:
        """Put user and password into the Secret that objects name."""
        self.put(LOGIN_SECRET, username="admin", password=password)

    def remove(self, name: str) -> None:
        """Delete a Secret."""
        del self._contents[NAMESPACE, name]
        self.notify(NAMESPACE, name, "")

    def notify(self, namespace: str, name: str, version: str) -> None:
        """Tell those who watch of a Secret."""
        for on_event in self.event_handlers:
            on_event(namespace, name, version)

    async def read(self, namespace: str, name: str, wanted: Mapping[str, int]) -> SecretContent | None:
        """Return a Secret."""
        self.reads.append(name)
        found = self._contents.get((namespace, name))
        if found:
            data = {entry: value[: wanted.get(entry, -1) + 1] for entry, value in found.data.items()}
            found = replace(found, data=data)
        await self.answer()
        if name in self.forbidden:
            raise Forbidden("not for us")
        return found


class FakeEvents:
    """Events that were posted."""

    def __init__(self) -> None:
        self.posted: list[Event] = []

    def post(self, resource: BusinessEncryptionKey, event: Event) -> None:
        """Record an event."""
        del resource
        self.posted.append(event)

    async def run(self) -> None:
        """Do nothing."""
        await asyncio.Event().wait()

    @property
    def reasons(self) -> list[str]:
        """Return the reasons of all events."""
        return [one.reason for one in self.posted]


@dataclass(slots=True)
class Phone:
    """One number's API: its key and its behaviour.

    Attributes:
        failure: The result of every call.
        refusal: The result of every publish.
        error: Raised by every call, which a real backend never does.
        settles: Seconds until a published key is VALID; `inf` for never.
        seconds: How long every call takes.
    """

    fingerprint: str | None = None
    public_key: str = ""
    status: SignatureStatus = SignatureStatus.MISMATCH
    failure: Failure | None = None
    refusal: Failure | None = None
    error: BaseException | None = None
    settles: float = 0.0
    seconds: float = 0.02
    published_at: float = float("inf")

    def hang(self) -> None:
        """Stop answering; callers time out after 30 s."""
        self.failure = Failure(reason=Reason.UNREACHABLE, message="no answer within 30 s", pace=Pace.SOON)
        self.seconds = 30.0

    def recover(self) -> None:
        """Answer again, without faults."""
        self.failure, self.refusal, self.error, self.seconds = None, None, None, 0.02

    def overwrite(self, fingerprint: str | None) -> None:
        """Hold another client's key, or none."""
        self.fingerprint, self.public_key = fingerprint, ""
        self.status = SignatureStatus.VALID if fingerprint else SignatureStatus.MISMATCH

    def lose_signature(self) -> None:
        """Keep the key with MISMATCH until it is published again, as after a new registration."""
        self.status, self.published_at = SignatureStatus.MISMATCH, float("inf")

    def holds(self, pair: keys.KeyPair) -> bool:
        """Return whether the number is VALID for a key."""
        return self.fingerprint == pair.fingerprint and self.reading().status is SignatureStatus.VALID

    def reading(self) -> Reading:
        """Return the answer of a read now."""
        if self.fingerprint and now() >= self.published_at + self.settles:
            self.status = SignatureStatus.VALID
        return Reading(status=self.status, fingerprint=self.fingerprint, public_key=self.public_key)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a number's API, when it began."""

    at: float
    kind: str
    url: str


class FakePhones:
    """The APIs of all numbers, by URL."""

    def __init__(self) -> None:
        self._phones: dict[str, Phone] = defaultdict(Phone)
        self.calls: list[Call] = []
        self.under_way = 0
        self.most_under_way = 0
        self.cut_off: list[Call] = []

    def __getitem__(self, number: str) -> Phone:
        """Return the phone of a number that has an API pod of its own."""
        return self.at(f"https://whatsapp-{number.removeprefix('+')}.{NAMESPACE}.svc")

    def at(self, url: str) -> Phone:
        """Return the phone that is called at a URL."""
        return self._phones[url]

    def join(self, url: str, other: str) -> None:
        """Let two URLs lead to one phone."""
        self._phones[url] = self.at(other)

    def count(self, kind: str, number: str | None = None) -> int:
        """Return how many calls of a kind there were."""
        return sum(one.kind == kind and (number is None or number[1:] in one.url) for one in self.calls)

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Answer a read."""
        phone = await self._call("read", endpoint)
        return phone.failure or phone.reading()

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Answer a publish."""
        phone = await self._call("publish", endpoint)
        if refusal := phone.failure or phone.refusal:
            return refusal
        phone.fingerprint, phone.published_at = keys.fingerprint(public_key), now()
        phone.public_key = public_key
        phone.status = SignatureStatus.MISMATCH
        return Accepted()

    async def close(self) -> None:
        """Do nothing."""

    async def _call(self, kind: str, endpoint: Endpoint) -> Phone:
        call = Call(now(), kind, str(endpoint.url))
        self.calls.append(call)
        phone = self.at(call.url)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(phone.seconds)
        except asyncio.CancelledError:
            self.cut_off.append(call)
            raise
        finally:
            self.under_way -= 1
        if phone.error:
            raise phone.error
        return phone


def unavailable() -> Unavailable:
    """Return the error of an API server that cannot be reached."""
    return Unavailable("the API server cannot be reached")


class FakeLimits:
    """Limits with one capacity for every limiter key, which can be closed, or closed to what is not urgent."""

    def __init__(self, capacity: int) -> None:
        self._room = capacity
        self.closed_until: dict[tuple[str, bool], float] = {}

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers of a limiter key may be worked on at once."""
        return self._room if now >= self.available_at(limiter_key, now, urgent=urgent) else 0

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there is capacity again."""
        return self.closed_until.get((limiter_key, urgent), now)
