"""A namespace with numbers of the simulator: its Secrets, its BusinessEncryptionKeys, and their recorded states."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from bek_operator.crd.parse import REQUESTED_AT
from bench import names
from bench.cluster import Cluster, Recording, objects_path, secrets_path
from bench.phones import Phones
from support.cluster.scene import secret
from support.keys import KeyPair

Api = Literal["cloud", "on-premises"]
Rollout = Literal["AllAtOnce", "FirstNumber"]

KEY, TOKEN, LOGIN, CA = "flows-key", "meta-token", "whatsapp-admin", "whatsapp-ca"
MOST = 1000
"""Numbers that one object may have."""

_ROTATIONS_PER_CHECK = 4
_CHECK_SECONDS = 120.0
_POLL_SECONDS = 0.2
_AFTER_CHECK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a namespace will have; `spare` numbers exist but are in no object yet."""

    namespace: str
    numbers: int
    api: Api = "cloud"
    per_object: int = MOST
    rollout: Rollout = "AllAtOnce"
    interval: int = 3600
    crowd: int = 0
    spare: int = 0


class Scene:
    """A namespace and its contents."""

    def __init__(self, plan: Plan, cluster: Cluster, phones: Phones, recording: Recording, indices: range) -> None:
        self.plan = plan
        self.cluster = cluster
        self.phones = phones
        self.recording = recording
        self.indices = indices[: plan.numbers]
        self.spare = indices[plan.numbers :]
        self.key: KeyPair | None = None
        self._rotations = 0
        parts = range(0, plan.numbers, plan.per_object)
        self.objects = {f"flows-{place:04}": self.indices[at : at + plan.per_object] for place, at in enumerate(parts)}

    async def create_secrets(self, key: KeyPair) -> None:
        """Create the Secrets that the objects name."""
        self.key = key
        await self.cluster.create_all(secrets_path(self.plan.namespace), self._secrets(key))

    async def create_objects(self) -> None:
        """Create the objects."""
        bodies = [self._body(name, indices) for name, indices in self.objects.items()]
        await self.cluster.create_all(objects_path(self.plan.namespace), bodies, at_once=4)

    async def put_key(self, key: KeyPair) -> float:
        """Put another key into the Secret; return the time before."""
        self.key = key
        body = secret(KEY, {"private.pem": key.private})
        now = time.monotonic()
        await self.cluster.request("PUT", secrets_path(self.plan.namespace, KEY), body)
        return now

    async def allow_rotation(self) -> None:
        """Have room for one more rotation: a number is published to at most six times in an hour.

        A requested check lifts that limit; one is made after every fourth rotation, and waited for.
        """
        done, self._rotations = self._rotations, self._rotations + 1
        if not done or done % _ROTATIONS_PER_CHECK:
            return
        request = f"after rotation {done}"
        path = objects_path(self.plan.namespace)
        for name in self.objects:
            await self.cluster.patch(f"{path}/{name}", {"metadata": {"annotations": {REQUESTED_AT: request}}})
        async with asyncio.timeout(_CHECK_SECONDS):
            while True:
                found = json.loads(await self.cluster.request("GET", path))["items"]
                if all(one["status"].get("lastHandledReconcileAt") == request for one in found):
                    break
                await asyncio.sleep(_POLL_SECONDS)
        # The status may be written at once again.
        await asyncio.sleep(_AFTER_CHECK_SECONDS)

    async def signed(self, *, but: int = 0, seconds: float = 120.0) -> None:
        """Wait until every status shows its numbers signed with the present key, `but` for a few in each."""
        if self.key is not None:
            await self.recording.signed(self.objects, key_id(self.key), but=but, seconds=seconds)

    async def clear(self) -> None:
        """Delete the objects, so that no operator works on them any more."""
        await self.cluster.request("DELETE", objects_path(self.plan.namespace))

    def _secrets(self, key: KeyPair) -> Sequence[Mapping[str, Any]]:
        return [
            secret(KEY, {"private.pem": key.private}),
            secret(TOKEN, {"token": f"{names.TOKEN}-{self.plan.namespace}"}),
            secret(LOGIN, {"username": names.USERNAME, "password": names.PASSWORD}),
            secret(CA, {"ca.crt": self.phones.certificate.authority}),
        ]

    def _body(self, name: str, indices: range) -> dict[str, Any]:
        return {
            "apiVersion": "bek.dev/v1alpha1",
            "kind": "BusinessEncryptionKey",
            "metadata": {"name": name},
            "spec": {
                "keySecretRef": {"name": KEY},
                "apis": [self._api()],
                "phoneNumbers": [
                    {"phoneNumber": names.number(index), "phoneNumberID": names.number_id(index)} for index in indices
                ],
                "intervalSeconds": self.plan.interval,
                "rollout": {"type": self.plan.rollout},
            },
        }

    def _api(self) -> dict[str, Any]:
        if self.plan.api == "cloud":
            return {
                "name": "default",
                "type": "Cloud",
                "cloud": {"version": "v25.0", "tokenSecretRef": {"name": TOKEN, "key": "token"}},
            }
        return {
            "name": "default",
            "type": "OnPremises",
            "onPremises": {
                "url": f"https://wa-{{digits}}.{names.DOMAIN}:{self.phones.port}",
                "credentialsSecretRef": {"name": LOGIN},
                "tls": {"caSecretRef": {"name": CA, "key": "ca.crt"}, "serverName": names.SERVER_NAME},
            },
        }


def key_id(key: KeyPair) -> str:
    """Return the short name of a key in a status."""
    return key.fingerprint.removeprefix("sha256:")[:12]


@asynccontextmanager
async def scene(
    plan: Plan, cluster: Cluster, phones: Phones, key: KeyPair, *, held: KeyPair | None = None, objects: bool = True
) -> AsyncIterator[Scene]:
    """Set up a namespace, and delete its objects in the end; the numbers hold the key `held` at first."""
    await cluster.create("/api/v1/namespaces", {"metadata": {"name": plan.namespace}})
    async with cluster.recording(plan.namespace) as recording:
        indices = phones.take(plan.numbers + plan.spare, crowd=plan.crowd, key=held)
        made = Scene(plan, cluster, phones, recording, indices)
        await made.create_secrets(key)
        if objects:
            await made.create_objects()
        try:
            yield made
        finally:
            await asyncio.shield(made.clear())
