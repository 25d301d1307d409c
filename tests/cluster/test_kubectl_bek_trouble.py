"""Ten things that go wrong at once: `kubectl bek` alone names the cause of each."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.operator_process import OperatorProcess
from support.cluster.plugin import Plugin
from support.cluster.scene import Scene
from support.simulators.business import Business
from support.simulators.flows_endpoint import FlowsEndpoint
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.apiserver import ApiServer
    from support.simulators.cloud import Cloud

OLD, NEW = keys.rsa(), keys.rsa("second")
OLD_ID, NEW_ID = (one.fingerprint.removeprefix("sha256:")[:12] for one in (OLD, NEW))
READABLE = ("flows-key", "short-key", "rotated-key", "meta-token", "whatsapp-admin", "whatsapp-ca", "flows-ca")
RUNS = "see whether it runs: kubectl get pods -A -l app.kubernetes.io/name=bek-operator"
REASONS = {
    "wrong-pem": "InvalidKey",
    "wrong-token": "TokenExpired",
    "moved": "NumberUnknown",
    "endpoint": "EndpointLacksKey",
    "forbidden": "SecretNotFound",
    "host": "HostNotAllowed",
    "older": "Succeeded",
    "younger": "DuplicateNumber",
    "suspended": "Suspended",
    "rollout": "Unreachable",
}


class Trouble:
    """Somebody who has ten objects in one namespace."""

    def __init__(self, scene: Scene, plugin: Plugin, business: Business, endpoint: FlowsEndpoint) -> None:
        self.scene = scene
        self.business = business
        self.endpoint = endpoint
        self.pods = list(scene.simulator.pods.values())
        self._plugin = plugin

    def begin(self) -> None:
        """Apply the objects; return when the operator has found everything that is wrong."""
        scene = self.scene
        lost, moved = self.business.add(), self.business.add()
        expired = self.business.token
        moved_to = self.business.replace_token()
        expired.revoke()
        scene.put_access()
        scene.put_key(OLD)
        scene.put_key(OLD, "rotated-key")
        scene.put_key(OLD, "secret-key")
        scene.put_secret("short-key", {"private.pem": keys.rsa("short", 1024).private})
        scene.put_secret("meta-token", {"token": moved_to.text, "expired": expired.text})
        scene.put_secret("flows-ca", {"ca.crt": self.endpoint.certificate.authority})
        rotated = {"keySecretRef": {"name": "rotated-key"}}
        flows = {"url": self.endpoint.url, "tls": {"caSecretRef": {"name": "flows-ca", "key": "ca.crt"}}}
        token = self.business.api()
        token["cloud"]["tokenSecretRef"]["key"] = "expired"
        scene.apply(
            self.on_premises("endpoint", 1, flowsEndpoint=flows, **rotated),
            self.on_premises("rollout", 2, 3, rollout={"firstNumber": {"phoneNumber": self.pods[2].number}}, **rotated),
            self.on_premises("older", 4),
        )
        for name in ("endpoint", "rollout", "older"):
            scene.wait_ready(name)
        self.pods[2].stop()
        scene.put_key(NEW, "rotated-key")
        scene.apply(
            self.on_premises("wrong-pem", 0, keySecretRef={"name": "short-key"}),
            scene.manifest("wrong-token", apis=[token], phoneNumbers=self.business.listed([lost])),
            self.cloud("moved", moved.number, "106540350000000"),
            self.on_premises("forbidden", 5, keySecretRef={"name": "secret-key"}),
            self.on_premises("host", 6, apis=[scene.api(url="https://whatsapp.elsewhere.svc/{digits}")]),
            self.on_premises("younger", 4),
            self.on_premises("suspended", 7, suspend=True),
        )
        scene.check("rollout")
        scene.wait_for(lambda: {name: scene.ready(name)[1] for name in REASONS} == REASONS, "all is found")

    def on_premises(self, name: str, *places: int, **spec: Any) -> dict[str, Any]:
        """Return an object for some of the pods."""
        return self.scene.manifest(name, [self.pods[place].number for place in places], **spec)

    def cloud(self, name: str, number: str, identity: str) -> dict[str, Any]:
        """Return an object for a number of the Cloud API."""
        listed = [{"phoneNumber": number, "phoneNumberID": identity}]
        return self.scene.manifest(name, apis=[self.business.api()], phoneNumbers=listed)

    def bek(self, *arguments: str) -> CompletedProcess[str]:
        """Run a command in the namespace."""
        return self._plugin.run(*arguments, f"--namespace={self.scene.namespace}")

    def status(self, name: str) -> list[str]:
        """Return what `status` prints of an object that is not well, with one blank between words."""
        result = self.bek("status", name)
        assert result.returncode == 1
        return [re.sub(r"\b([0-9]+[smhd])+\b", "AGE", " ".join(line.split())) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def trouble(
    installed: ApiServer, started: list[OperatorProcess], cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trouble]:
    """Provide the objects, and an operator that RBAC lets get only some of the Secrets."""
    for process in started:
        process.stop()
    namespace = f"trouble-{secrets.token_hex(4)}"
    installed.kubectl("create", "namespace", namespace)
    for body in account(installed, namespace):
        installed.kubectl("apply", "--filename=-", stdin=json.dumps(body))
    ca_bundle = installed.folder / "cloud-ca.crt"
    ca_bundle.write_text(cloud.certificate.authority, encoding="ascii")
    flags = [
        "--allow-host=127.0.0.1:*",
        f"--cloud-url={cloud.url}",
        f"--cloud-ca={ca_bundle}",
        "--leader-elect=on",
        f"--lease-namespace={namespace}",
    ]
    with (
        OnPremises(numbers(8)) as simulator,
        FlowsEndpoint(OLD) as endpoint,
        OperatorProcess(installed, flags, name=namespace, account=(namespace, "operator")) as operator,
    ):
        scene = Scene(installed, namespace, simulator, operator)
        trouble = Trouble(scene, Plugin(installed, tmp_path_factory.mktemp("plugin")), Business(cloud), endpoint)
        trouble.begin()
        yield trouble
    installed.kubectl("delete", "bek,secrets", "--all", "--wait=false", f"--namespace={namespace}")
    installed.kubectl("delete", "clusterrole,clusterrolebinding", namespace)


def account(installed: ApiServer, namespace: str) -> list[Mapping[str, Any]]:
    """Return a service account with the shipped permissions, but for the Secrets that it can get."""
    kind = "rbac.authorization.k8s.io"
    role = json.loads(installed.kubectl("get", "clusterrole", "bek-operator", "--output=json").stdout)
    for rule in role["rules"]:
        if rule["resources"] == ["secrets"]:
            rule["verbs"] = ["list", "watch"]
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}
    some = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": READABLE, "verbs": ["get"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator", "namespace": namespace}},
        {**role, "metadata": {"name": namespace}, "rules": [*role["rules"], leases, some]},
        {
            "apiVersion": f"{kind}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": namespace},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": namespace},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
        },
    ]


def test_a_wrong_pem(trouble: Trouble) -> None:
    """`status`, `check` and `key` say the same of it, and `check` does not wait."""
    fault = "private.pem is an RSA key of 1024 bits; an RSA key of 2048 bits is needed"
    checked, judged = trouble.bek("check", "wrong-pem", "--wait"), trouble.bek("key", "wrong-pem")

    assert trouble.status("wrong-pem")[2:4] == [
        f"Ready False InvalidKey AGE Secret short-key: {fault}",
        "Stalled True InvalidKey AGE you must act; see Ready",
    ]
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (1, f"InvalidKey: Secret short-key: {fault}")
    assert (judged.returncode, judged.stdout.splitlines()[-1]) == (1, f"unusable: {fault}")


def test_a_wrong_token(trouble: Trouble) -> None:
    """The number's line names the Secret's entry, and what to do."""
    (line,) = [line for line in trouble.status("wrong-token") if line.startswith("+")]

    assert " meta TokenExpired the access token was revoked" in line
    assert "generate another one for the system user and put it into entry expired of Secret meta-token" in line


def test_a_number_that_moved(trouble: Trouble, tmp_path: Path) -> None:
    """Its id is no longer visible to the token; `diff` shows that another id leads elsewhere."""
    number = trouble.business.numbers[-1]
    file = tmp_path / "moved.json"
    file.write_text(json.dumps(trouble.cloud("moved", number.number, number.id)), encoding="utf-8")
    line = next(line for line in trouble.status("moved") if line.startswith("+"))
    changes = trouble.bek("diff", "-f", str(file))

    assert line.startswith(f"{number.number} meta NumberUnknown no phone number with this phoneNumberID is visible to")
    assert f"{number.number}   meta   moved    checked; published to, if it lacks the key\n" in changes.stdout


def test_an_endpoint_without_the_key(trouble: Trouble) -> None:
    """What it opened last is shown below the heading, `key` compares, and `endpoint` asks it at once."""
    head, flows, _, *lines = trouble.status("endpoint")
    judged, asked = trouble.bek("key", "endpoint"), trouble.bek("endpoint", "endpoint")

    assert head.endswith(f"0/1 signed, key {NEW_ID}, Secret rotated-key")
    assert flows == f"Flow endpoint {trouble.endpoint.url}: EndpointLacksKey, opened key {OLD_ID} last"
    assert lines[0].startswith("Ready False EndpointLacksKey AGE Flow endpoint: HTTP 421: it cannot decrypt with any")
    assert asked.returncode == 1
    assert asked.stdout.splitlines()[-1].startswith("EndpointLacksKey: HTTP 421: it cannot decrypt with any"), asked
    assert judged.returncode == 1
    assert judged.stdout.endswith(f"holds another key: {OLD_ID}\nthe Flow endpoint opened another key last: {OLD_ID}\n")


def test_an_operator_without_permissions(trouble: Trouble) -> None:
    """It is the operator that RBAC forbids something, not the user: `key` works for the user."""
    fault = "Secret secret-key cannot be read: RBAC forbids the operator to get it"
    checked = trouble.bek("check", "forbidden", "--wait")

    assert trouble.status("forbidden")[2] == f"Ready False SecretNotFound AGE {fault}"
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (1, f"SecretNotFound: {fault}")
    assert "usable: RSA, 2048 bits\n" in trouble.bek("key", "forbidden").stdout


def test_a_host_that_is_not_allowed(trouble: Trouble) -> None:
    """With the flag that would allow it."""
    assert trouble.status("host")[-1].endswith(
        "default HostNotAllowed host whatsapp.elsewhere.svc is not allowed;"
        " start the operator with --allow-host=whatsapp.elsewhere.svc"
    )


def test_two_objects_for_one_number(trouble: Trouble) -> None:
    """The other object is named."""
    assert trouble.status("younger")[-1] == (
        f"{trouble.pods[4].number} default DuplicateNumber"
        " managed by the older BusinessEncryptionKey older; remove the number from one of them"
    )


def test_a_suspended_object(trouble: Trouble) -> None:
    """`check` says what to do."""
    checked = trouble.bek("check", "suspended", "--wait")

    assert trouble.status("suspended")[0].endswith(", suspended")
    assert (checked.returncode, checked.stderr) == (
        2,
        "error: suspended is suspended, so nothing is checked; resume it with: kubectl bek resume suspended\n",
    )


def test_a_rollout_that_waits(trouble: Trouble) -> None:
    """For a first number that cannot be reached."""
    first, second = trouble.pods[2].number, trouble.pods[3].number
    lines = trouble.status("rollout")

    assert (
        f"1 waiting for the rollout until {first} is verified: repair that number, or name another one in" in lines[2]
    )
    assert any(line.startswith(f"{first} default Unreachable {OLD_ID}*") for line in lines)
    assert any(line.startswith(f"{second} default WaitingForRollout {OLD_ID}*") for line in lines)


def test_an_operator_that_is_down(trouble: Trouble) -> None:
    """`check --wait` says so, and from then on `status`; at once of a new object, and to who can list Leases."""
    before = trouble.bek("status", "older")
    trouble.scene.operator.stop()
    after = trouble.bek("status", "older")
    trouble.scene.apply(trouble.on_premises("new", 7))
    checked = trouble.bek("check", "older", "--wait", "--timeout=2")

    assert (before.returncode, before.stderr) == (0, "")
    assert (after.returncode, after.stdout.splitlines()[0]) == (0, before.stdout.splitlines()[0])
    assert re.fullmatch(
        f"warning: the operator's Lease {trouble.scene.namespace}/bek-operator was renewed [0-9]+s ago last, and nobody"
        f" holds it; {RUNS}\n",
        after.stderr,
    )
    assert (checked.returncode, checked.stderr) == (2, f"error: the operator has not answered within 2 s; {RUNS}\n")
    assert trouble.status("older")[1] == (
        "A check was requested, and the operator has not finished it yet: what follows may be out of date."
        f" If that lasts, {RUNS}"
    )
    assert trouble.status("new")[1] == (
        "The operator has not seen this object since it was created AGE ago."
        f" If that lasts, {RUNS}, and whether it serves this namespace."
    )
