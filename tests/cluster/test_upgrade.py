"""From the previous version to this one, and back: definition, roles, objects and running replicas.

The previous version is the last release, and the last commit as long as there is none. In a shallow clone or an archive
it is this one, and the upgrade is a restart.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import NAMESPACE, OperatorProcess
from support.cluster.scene import Scene, conditions, secret
from support.previous import THIS, Version, previous_version
from support.simulators.business import Business
from support.simulators.cloud import Cloud
from support.simulators.on_premises import OnPremises, numbers
from support.simulators.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.simulators.signed_number import SignedNumber

USERS = "messaging"
CHECKED = ("on-premises", "cloud", "provider")
"""Objects that are healthy."""


class Rollout:
    """A Deployment of two replicas that elect a leader, in so far as there are processes."""

    def __init__(self, server: ApiServer, flags: list[str]) -> None:
        self._server = server
        self._flags = flags
        self._stack = ExitStack()
        self._replicas: list[OperatorProcess] = []
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def roll_to(self, version: Version) -> None:
        """Apply what its users apply, then replace one replica after the other, as maxSurge 1 does."""
        self.apply(version)
        for _ in range(2):
            self._start(version)
            if len(self._replicas) > 2:
                assert self._replicas.pop(0).stop() == 0

    def apply(self, version: Version) -> None:
        """Apply definition, roles and Deployment of a version; here nobody makes Pods of the latter."""
        self._server.kubectl("apply", "--kustomize", str(version.manifests))
        self._server.wait_until_established("businessencryptionkeys.bek.dev")

    def leads(self) -> bool:
        """Return whether one of the running replicas was the last to write the Lease."""
        writes = [one for one in self._server.audit() if one.resource == "leases" and one.is_write and one.code < 300]
        return bool(writes) and writes[-1].credential in {replica.credential for replica in self._replicas}

    def first(self) -> OperatorProcess:
        """Return the replica that runs for the longest time."""
        return self._replicas[0]

    def _start(self, version: Version) -> None:
        self._started += 1
        replica = OperatorProcess(self._server, self._flags, name=f"replica-{self._started}", source=version.source)
        self._replicas.append(self._stack.enter_context(replica))


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Version:
    """Provide the previous version, and print which one that is."""
    version = previous_version(tmp_path_factory.mktemp("previous"))
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        request.config.get_terminal_writer().line(f"\nupgrading from {version.name}")
    return version


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """Provide an API server on which nothing is installed."""
    with ApiServer() as server:
        server.kubectl("create", "namespace", USERS)
        yield server


@pytest.mark.timeout(240)  # six processes and an API server are started, one after the other
def test_an_upgrade_and_a_rollback_publish_nothing_and_change_no_condition(
    server: ApiServer, previous: Version
) -> None:
    """Nor do they write a status, but where a message has other words, or the definition has a new field for it."""
    with (
        OnPremises(numbers(4)) as pods,
        Cloud() as cloud,
        Provider(["+15570000001", "+15570000002"]) as provider,
        Rollout(server, flags_for(server, cloud)) as rollout,
    ):
        business = Business(cloud)
        business.add()
        rollout.roll_to(previous)
        scene = Scene(server, USERS, pods, rollout.first())
        put_objects(scene, business, provider)
        # A request for a check resets the publish back-off, which the status shows.
        check_all(scene)
        phones = [*pods.pods.values(), *business.numbers, *provider.numbers.values()]

        for version in (THIS, previous):
            before, published, mark = statuses(scene), publishes(phones), server.audit_mark()
            # The replicas that run go on under another definition and other roles until they are replaced.
            rollout.apply(version)
            check_all(scene)
            rollout.roll_to(version)
            scene.wait_for(rollout.leads, "a new replica leads", 60)
            check_all(scene)
            after = statuses(scene)

            assert publishes(phones) == published
            assert lasting(after, previous) == lasting(before, previous)
            reworded = {name for name, status in after.items() if unrequested(status) != unrequested(before[name])}
            assert {(one.resource, one.name) for one in scene.writes(mark)} == {
                ("businessencryptionkeys", name) for name in {*CHECKED, *reworded}
            }
            assert [one.uri for one in server.audit(mark) if one.is_refused] == []


def flags_for(server: ApiServer, cloud: Cloud) -> list[str]:
    """Return the replicas' flags."""
    ca_bundle = server.folder / "cloud-ca.crt"
    ca_bundle.write_text(cloud.certificate.authority, encoding="ascii")
    return [
        "--allow-host=127.0.0.1:*",
        f"--cloud-url={cloud.url}",
        f"--cloud-ca={ca_bundle}",
        "--leader-elect=on",
        f"--lease-namespace={NAMESPACE}",
    ]


def put_objects(scene: Scene, business: Business, provider: Provider) -> None:
    """Have one object Ready for each API, one that is Stalled by its login, and one that is suspended when Ready."""
    first, second, third, fourth = scene.simulator.pods
    bsp = {
        "url": provider.url,
        "apiKeyHeader": provider.header,
        "apiKeySecretRef": {"name": "provider-keys", "key": "{digits}"},
        "tls": {"caSecretRef": {"name": "provider-ca", "key": "ca.crt"}},
    }
    listed = [{"phoneNumber": one.number, "api": "bsp"} for one in provider.numbers.values()]
    wrong = scene.api()
    wrong["onPremises"]["credentialsSecretRef"] = {"name": "wrong-login"}
    scene.put_access()
    scene.put_key(keys.rsa())
    scene.apply(
        *business.secrets(),
        secret("provider-keys", {one.digits: provider.key(one.number) for one in provider.numbers.values()}),
        secret("provider-ca", {"ca.crt": provider.certificate.authority}),
        secret("wrong-login", {"username": "flows", "password": "not the right one"}),
    )
    scene.apply(
        scene.manifest("on-premises", [first, second]),
        scene.manifest("cloud", apis=[business.api()], phoneNumbers=business.listed()),
        scene.manifest("provider", apis=[{"name": "bsp", "type": "Provider", "provider": bsp}], phoneNumbers=listed),
        scene.manifest("stalled", [third], apis=[wrong]),
        scene.manifest("suspended", [fourth]),
    )
    for name in (*CHECKED, "suspended"):
        scene.wait_ready(name)
    scene.wait_for(lambda: "Stalled" in conditions(scene.get("stalled")), "the login is refused")
    scene.change("suspended", suspend=True)


def check_all(scene: Scene) -> None:
    """Have every healthy object checked, which only a process can do that has read everything and works."""
    for name in CHECKED:
        scene.check(name)


def publishes(phones: list[SignedNumber]) -> dict[str, int]:
    """Return how often each number was published to."""
    return {phone.number: phone.publishes for phone in phones}


def statuses(scene: Scene) -> dict[str, Mapping[str, Any]]:
    """Return the status of every object."""
    return {one["metadata"]["name"]: one["status"] for one in scene.objects()}


def unrequested(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without what our own requests for a check have changed."""
    return {name: value for name, value in status.items() if name != "lastHandledReconcileAt"}


def lasting(found: Mapping[str, Mapping[str, Any]], previous: Version) -> dict[str, Any]:
    """Return of each status what both versions must show alike: no message, and fields that both definitions have."""
    schemas = [status_schema(version.crd) for version in (previous, THIS)]
    shared = {name: unrequested(status) for name, status in found.items()}
    for schema in schemas:
        shared = {name: known(status, schema) for name, status in shared.items()}
    return shared


def status_schema(crd: Path) -> Mapping[str, Any]:
    """Return the schema of the status in a definition."""
    (version,) = yaml.safe_load(crd.read_text(encoding="utf-8"))["spec"]["versions"]
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    return schema


def known(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return what a schema knows of a value, without messages."""
    match value:
        case dict():
            properties = schema["properties"]
            return {
                name: known(inner, properties[name])
                for name, inner in value.items()
                if name in properties and name != "message"
            }
        case list():
            return [known(one, schema["items"]) for one in value]
        case _:
            return value
