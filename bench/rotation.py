"""Rotation: from another key in the Secret until every number holds it, at the API and in the status."""

import asyncio
from dataclasses import dataclass

from bench import names
from bench.environment import Environment
from bench.figures import Quantiles
from bench.ledger import Count
from bench.operators import RunningOperator
from bench.scenes import Scene
from support.cluster.audit import AuditEvent
from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT

_ASIDE_SECONDS = 0.3
"""What follows the last status, such as events, counts as cost."""

_USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The times and costs of one rotation.

    Attributes:
        in_status: Seconds from the write of the Secret to a number VALID for the new key in the status.
        at_api: Seconds to the answer to its publish.
        cpu: CPU seconds of the operator.
        publishes: Calls to numbers; `reads` and `logins` likewise.
        requests: Requests to the API server.
        status_writes: How many of those wrote a status, and `writes` of any kind.
    """

    numbers: int
    objects: int
    in_status: Quantiles
    at_api: Quantiles
    cpu: float
    publishes: int
    reads: int
    logins: int
    requests: int
    status_writes: int
    writes: int

    @property
    def wall(self) -> float:
        """Return the seconds until all is done."""
        return self.in_status.last

    @property
    def calls(self) -> float:
        """Return the calls for each number."""
        return (self.publishes + self.reads + self.logins) / self.numbers


async def rotate(env: Environment, scene: Scene, operator: RunningOperator, *, but: int = 0) -> Rotation:
    """Rotate the key once; wait for all numbers `but` a few of each object."""
    await scene.allow_rotation()
    phones, key = scene.phones, env.next_key()
    if key is scene.key:
        key = env.next_key()
    phones.reset(scene.indices)
    scene.recording.clear()
    mark, cpu = env.api_server.audit_mark(), operator.cpu()
    begun = await scene.put_key(key)
    await scene.signed(but=but)
    await asyncio.sleep(_ASIDE_SECONDS)
    cpu = operator.cpu() - cpu
    audited = requests(env, scene, mark)
    published = phones.last(Count.PUBLISHED, scene.indices)
    return Rotation(
        numbers=len(scene.indices),
        objects=len(scene.objects),
        in_status=Quantiles.of(at - begun for at in rows_signed(scene).values()),
        at_api=Quantiles.of(at - begun for at in published.values()),
        cpu=cpu,
        publishes=phones.total(Count.PUBLISHES, scene.indices),
        reads=phones.total(Count.READS, scene.indices),
        logins=phones.total(Count.LOGINS, scene.indices),
        requests=len(audited),
        status_writes=sum(one.is_write and one.subresource == "status" for one in audited),
        writes=sum(one.is_write for one in audited),
    )


def requests(env: Environment, scene: Scene, mark: int) -> list[AuditEvent]:
    """Return the operators' requests to the API server in a scene's namespace since a mark."""
    events = env.api_server.audit(mark)
    return [one for one in events if one.user == _USER and one.namespace == scene.plan.namespace]


def rows_signed(scene: Scene) -> dict[int, float]:
    """Return when the status first showed each number signed with the scene's present key."""
    found: dict[int, float] = {}
    if scene.key is None:
        return found
    fingerprint = scene.key.fingerprint
    for sight in scene.recording.sights:
        for row in sight.body.get("status", {}).get("phoneNumbers", ()):
            if row.get("signatureStatus") == "VALID" and row.get("observedFingerprint") == fingerprint:
                found.setdefault(names.index_of_number(row["phoneNumber"]), sight.at)
    return found
