"""The commands of the documents, run as they are written: `pytest -s` prints each, and what it prints.

A test follows one page, section by section. Deployments of the operator become processes under the shipped roles, and
the Cloud API is the simulator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.controllers import Controllers
from support.cluster.terminal import ROOT, CommandError, Terminal
from support.documents import fences, steps, table
from support.keys import KeyPair
from support.simulators.cloud import Cloud
from support.simulators.cloud_number import CloudNumber

NUMBERS = {"+15550001111": "106540352242911", "+15550002222": "106540352242922", "+15550003333": "106540352242933"}
"""Number and id, the first as in the smallest sample."""

NAMES = {"NAMESPACE": "messaging", "NAME": "flows", "SECRET": "flows-key"}
"""What a reader puts in the place of such a word."""

NO_REGISTRY = "there is no registry here; the image's own tests build and run it"
NO_TOOL = "needs a tool that the tests do not have"
NO_KUBELET = "needs a kubelet"
PLACEHOLDER = "NAME stands for a name; troubleshooting.md has the same command with one"
WARNED_OF = "what the page says not to do"
OWN_TEST = "has a test of its own"

NOT_RUN: Mapping[str, Mapping[str, str]] = {
    "README.md": {
        "make demo": OWN_TEST,
        "make test": OWN_TEST,
        "make image IMAGE=registry.example.com/bek-operator:0.1.0": NO_REGISTRY,
        "docker push registry.example.com/bek-operator:0.1.0": NO_REGISTRY,
    },
    "docs/install.md": {
        "make image IMAGE=registry.example.com/bek-operator:0.1.0": NO_REGISTRY,
        "docker push registry.example.com/bek-operator:0.1.0": NO_REGISTRY,
        "kubectl delete -k deploy/default": WARNED_OF,
    },
    "docs/guides.md": {
        "kubectl bek endpoint flows --key FILE": OWN_TEST,
        "kubectl bek endpoint --url URL --key FILE": OWN_TEST,
    },
    "docs/gitops.md": {
        "argocd app terminate-op": NO_TOOL,
        "flux suspend kustomization encryption-keys": NO_TOOL,
        "flux resume kustomization encryption-keys": NO_TOOL,
    },
    "docs/troubleshooting.md": {
        "kubectl bek status flows --unhealthy": OWN_TEST,
        "kubectl bek check flows --wait": OWN_TEST,
        "kubectl bek endpoint flows": OWN_TEST,
        "kubectl bek key flows": OWN_TEST,
        "kubectl bek key -f private.pem": OWN_TEST,
        "flux reconcile kustomization encryption-keys": NO_TOOL,
        "kubectl logs -n bek-system -l app.kubernetes.io/name=bek-operator --prefix --tail=-1": NO_KUBELET,
    },
    "docs/sharding.md": {
        "bek-operator --watch-label-selector=bek.dev/shard=shard1 --lease-name=bek-operator-shard1": OWN_TEST,
    },
    "docs/runbooks": {
        "kubectl get podmonitor,networkpolicy -n bek-system": "needs the kinds of Prometheus Operator",
        "kubectl get bek -w": "does not end",
        "kubectl describe pod -n bek-system POD": NO_KUBELET,
    },
    "docs/reasons.md": {
        'kubectl annotate bek NAME --overwrite bek.dev/requested-at="$(date)"': PLACEHOLDER,
        "kubectl get secret NAME -o yaml --show-managed-fields": PLACEHOLDER,
        "kubectl events --for bek/NAME": PLACEHOLDER,
    },
}
"""The commands of each page that are not run, and why."""


class Reader:
    """Somebody who follows a page; at the end every command must have been run, or be listed above."""

    def __init__(self, page: str, terminal: Terminal) -> None:
        self._page = page
        self._terminal = terminal
        self._excused = NOT_RUN.get(page, {})
        self._steps = list(steps((ROOT / page).read_text(encoding="utf-8")))
        self._done: set[str] = set()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Compare what was run with what the page has."""
        written = {command for step in self._steps for command in step.commands}
        if kind is None:
            assert written - self._done - self._excused.keys() == set(), f"never run: {self._page}"
            assert self._excused.keys() - written == set(), f"not in {self._page}"

    def follow(self, section: str, stdin: str = "") -> list[str]:
        """Run the commands of a section; return what each block of them prints, which is what the page shows."""
        return list(self.each(section, stdin))

    def each(self, section: str, stdin: str = "") -> Iterator[str]:
        """Run the commands of a section block by block."""
        found = [step for step in self._steps if step.section == section]
        assert found, f"{self._page} has no commands in a section {section!r}"
        for step in found:
            if commands := [command for command in step.commands if command not in self._excused]:
                output = self._terminal.run("\n".join(commands), stdin)
                self._done.update(commands)
                if step.shown is not None:
                    assert table(output) == table(step.shown)
                yield output


class Place:
    """An empty cluster, a terminal for it, and a business with three numbers at the Cloud API."""

    def __init__(self, terminal: Terminal, controllers: Controllers, cloud: Cloud) -> None:
        self.terminal = terminal
        self.controllers = controllers
        self.cloud = cloud
        self.phones: dict[str, CloudNumber] = {
            number: cloud.add(number, identity=identity) for number, identity in NUMBERS.items()
        }
        terminal.env["TOKEN"] = cloud.token().text

    @property
    def first(self) -> CloudNumber:
        """The number of the smallest sample."""
        return self.phones["+15550001111"]

    @property
    def publishes(self) -> int:
        """How many publishes there were, at any number."""
        return sum(phone.publishes for phone in self.phones.values())

    def run(self, script: str) -> str:
        """Run commands that no page has."""
        return self.terminal.run(script)

    def object(self, name: str = "flows", namespace: str = "messaging") -> dict[str, Any]:
        """Return an object."""
        found: dict[str, Any] = json.loads(self.run(f"kubectl -n {namespace} get bek {name} -o json"))
        return found

    def put_key(self, pair: KeyPair) -> None:
        """Write `private.pem`, as `openssl genrsa` would."""
        (self.terminal.folder / "private.pem").write_text(pair.private, encoding="ascii")

    def write_overlay(self, *, namespaced: bool = False) -> None:
        """Write an overlay that the page on the installation shows, as the folder OVERLAY."""
        cluster_wide, of_a_namespace = fences((ROOT / "docs" / "install.md").read_text(encoding="utf-8"), "yaml")
        folder = self.terminal.folder / "OVERLAY"
        if not folder.exists():
            folder.mkdir()
            (folder / "bek-operator").symlink_to(ROOT)
        (folder / "kustomization.yaml").write_text(of_a_namespace if namespaced else cluster_wide, encoding="utf-8")

    def write_keys(self) -> None:
        """Write a folder KEYS as the page on GitOps describes it: an object, its Secrets, a kustomization."""
        folder = self.terminal.folder / "KEYS"
        folder.mkdir()
        (folder / "flows.yaml").write_text(
            (ROOT / "deploy" / "samples" / "cloud.yaml").read_text("utf-8"), encoding="utf-8"
        )
        (folder / "private.pem").write_text(keys.rsa().private, encoding="ascii")
        kustomization = {
            "resources": ["flows.yaml"],
            "generatorOptions": {"disableNameSuffixHash": True},
            "secretGenerator": [
                {"name": "flows-key", "files": ["private.pem"]},
                {"name": "meta-token", "literals": [f"token={self.terminal.env['TOKEN']}"]},
            ],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")

    def install(self, *numbers: str) -> None:
        """Install the operator, and an object `flows` with these numbers."""
        self.put_key(keys.rsa())
        body = yaml.safe_load((ROOT / "deploy" / "samples" / "cloud.yaml").read_text(encoding="utf-8"))
        body["spec"]["phoneNumbers"] = [{"phoneNumber": one, "phoneNumberID": NUMBERS[one]} for one in numbers]
        (self.terminal.folder / "flows.json").write_text(json.dumps(body), encoding="utf-8")
        self.run("""
            kubectl apply -k deploy/default
            kubectl create namespace messaging
            kubectl wait --for=condition=Established crd/businessencryptionkeys.bek.dev
            kubectl create secret generic flows-key --from-file=private.pem
            kubectl create secret generic meta-token --from-literal=token="$TOKEN"
            kubectl apply -f flows.json
        """)

    def wait(self, condition: str = "Ready") -> None:
        """Wait for a condition of the object."""
        self.run(f"kubectl -n messaging wait --for=condition={condition} bek/flows")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Provide an API server with nothing on it but what a page leaves behind."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def place(server: ApiServer, tmp_path: Path) -> Iterator[Place]:
    """Provide an empty cluster; afterwards it is empty again."""
    with Cloud() as cloud:
        authority = tmp_path / "cloud-ca.crt"
        authority.write_text(cloud.certificate.authority, encoding="ascii")
        flags = ["--allow-host=127.0.0.1:*", f"--cloud-url={cloud.url}", f"--cloud-ca={authority}", "--log-level=debug"]
        folder = tmp_path / "reader"
        folder.mkdir()
        with Controllers(server, flags) as controllers:
            place = Place(Terminal(server, folder, controllers.sync), controllers, cloud)
            yield place
            place.run("kubectl delete namespace --wait=false --ignore-not-found bek-system messaging flows-team")
            place.run("kubectl delete --ignore-not-found -k deploy/default")
        assert [*cloud.violations, *cloud.oddities] == []


def test_the_readme(place: Place) -> None:
    """Whoever has a cluster, a token and a number has a signed number at the end."""
    place.write_overlay()
    with Reader("README.md", place.terminal) as reader:
        reader.follow("Install")
        place.wait()
        reader.follow("bek-operator")
        reader.follow("Try it")

    assert place.first.publishes == 1


def test_installation_and_removal(place: Place) -> None:
    """The overlay's settings arrive; who removes the operator keeps the objects, and the numbers their key.

    Then the same objects are served by an operator for their namespace alone.
    """
    place.write_overlay()
    with Reader("docs/install.md", place.terminal) as reader:
        reader.follow("Install")
        (lease,) = reader.follow("Configure it with an overlay")
        image = place.run("kubectl get deployment -n bek-system -o jsonpath='{..image}' bek-operator")
        assert image.startswith("registry.example.com/bek-operator:")
        assert table(lease)[0] == ["NAME", "HOLDER", "AGE"]

        removal = reader.each("Remove")
        next(removal)
        assert place.controllers.operators == []
        assert place.run("kubectl get clusterrole,clusterrolebinding -o name | grep bek || true") == ""
        assert place.run("kubectl get bek -A -o name") == "businessencryptionkey.bek.dev/flows\n"
        next(removal)
        assert place.run("kubectl get crd -o name") == ""
        assert list(removal) == []

        place.write_overlay(namespaced=True)
        installation = reader.each("For one namespace")
        next(installation)
        next(installation)
        place.run("kubectl apply -f deploy/samples/cloud.yaml")
        place.wait()
        assert list(installation) != []
        assert place.controllers.operators == []
        assert place.run("kubectl get bek -A -o name") == "businessencryptionkey.bek.dev/flows\n"

    assert place.first.publishes == 1
    assert place.first.signature == "VALID"


def test_gitops(place: Place) -> None:
    """Each task, with kubectl alone."""
    place.write_overlay()
    place.write_keys()
    with Reader("docs/gitops.md", place.terminal) as reader:
        reader.follow("Install")
        assert place.first.publishes == 1
        reader.follow("Flux")
        (upgraded,) = reader.follow("Upgrade")
        assert "successfully rolled out" in upgraded

        place.put_key(keys.rsa("second"))
        reader.follow("Rotate a key")
        assert place.first.holds(keys.rsa("second").public)
        assert place.object()["status"]["publicKeyFingerprint"] == keys.rsa("second").fingerprint

        reader.follow("Check now")
        reader.follow("Suspend in an emergency")
        assert place.object()["spec"]["suspend"] is False

        place.put_key(keys.rsa())
        reader.follow("Rotate a key")
        assert place.first.holds(keys.rsa().public)
        publishes = place.publishes
        reader.follow("Move to another namespace")
        assert place.object(namespace="flows-team")["metadata"]["name"] == "flows"
        place.run("kubectl -n messaging apply -k KEYS")
        place.wait()
        reader.follow("Remove")

    assert place.publishes == publishes
    assert place.first.holds(keys.rsa().public)


def test_a_restored_cluster_publishes_nothing(place: Place) -> None:
    """Operator and objects are deleted together, which nothing holds up, and installed again by the same commands."""
    place.write_overlay()
    place.write_keys()
    reader = Reader("docs/gitops.md", place.terminal)
    reader.follow("Install")
    place.run("kubectl delete namespace bek-system messaging")
    place.run("kubectl delete -k deploy/default --ignore-not-found")

    reader.follow("Install")

    assert place.publishes == 1


def test_definition_operator_and_objects_in_one_folder(place: Place) -> None:
    """With kubectl alone the second apply brings what the first could not know; nothing else is done by hand."""
    place.write_overlay()
    place.write_keys()
    folder = place.terminal.folder / "ALL"
    folder.mkdir()
    resources = ["../OVERLAY", "namespace.yaml", "../KEYS"]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": resources}), encoding="utf-8")
    messaging = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "messaging"}}
    (folder / "namespace.yaml").write_text(yaml.safe_dump(messaging), encoding="utf-8")

    with pytest.raises(CommandError, match='no matches for kind "BusinessEncryptionKey"'):
        place.run("kubectl apply -k ALL")
    place.run("kubectl wait --for=condition=Established crd/businessencryptionkeys.bek.dev")
    place.run("kubectl apply -k ALL")
    place.wait()

    assert place.publishes == 1


def test_troubleshooting(place: Place) -> None:
    """Of three numbers one is not registered, as in the page's example."""
    place.phones["+15550002222"].registered = False
    place.install(*NUMBERS)
    place.wait("Stalled")
    with Reader("docs/troubleshooting.md", place.terminal) as reader:
        _, listed, events = reader.follow("What is wrong?")
        reader.follow("Argo CD or Flux waits, or fails")
        (conditions,) = reader.follow("Who must act?")
        (number, reason, message) = listed.rstrip().split("\t")
        assert (number, reason) == ("+15550002222", "NotRegistered")
        assert message in conditions
        assert "NotRegistered" in events
        assert [line.partition("\t")[0] for line in conditions.splitlines()] == ["Ready=False", "Stalled=True"]

        place.phones["+15550002222"].registered = True
        reader.follow("When is a fix detected?")
        place.wait()

        _, lease = reader.follow("READY is empty")
        assert table(lease)[0] == ["NAME", "HOLDER", "AGE"]
        reader.follow("The Pod is not ready")
        (key,) = reader.follow("Is it the right key?")
        assert key.strip() == place.object()["status"]["keyID"]


def test_runbooks(place: Place) -> None:
    """All of them together, for a number that has lost its signature; only logs and Pods need a kubelet."""
    pages = (ROOT / "docs" / "runbooks").glob("*.md")
    written = {
        command for page in pages for step in steps(page.read_text(encoding="utf-8")) for command in step.commands
    }
    excused = NOT_RUN["docs/runbooks"].keys()
    assert excused - written == set()
    place.install("+15550001111")
    place.wait()
    place.first.re_register()
    # What is suspended is checked when it is resumed.
    for suspend in ("true", "false"):
        place.run(f'kubectl patch bek flows --type=merge -p \'{{"spec": {{"suspend": {suspend}}}}}\'')
        place.wait()
    place.run("until kubectl get events | grep --quiet StaleSignature; do :; done")

    outputs = {
        command: place.run(re.sub(r"\b(NAMESPACE|NAME|SECRET)\b", lambda found: NAMES[found[0]], command))
        for command in sorted(written - excused)
        if not command.startswith("kubectl logs ")
    }

    assert {output for command, output in outputs.items() if " auth can-i " in command} == {"yes\n"}


def test_guides(place: Place) -> None:
    """A script waits for the rotated key, not for the Ready of the old one."""
    place.install("+15550001111")
    place.wait()
    with Reader("docs/guides.md", place.terminal) as reader:
        *_, key = reader.follow("One number first")
        assert key.strip() in place.run("kubectl get bek -o wide")
        place.put_key(keys.rsa("second"))
        place.run("kubectl create secret generic flows-key --from-file=private.pem --dry-run=client -o yaml > key.yaml")
        place.run("kubectl replace -f key.yaml")
        *_, events = reader.follow("Scripts")

    assert "Published" in events
    assert place.first.holds(keys.rsa("second").public)


def test_sharding(place: Place) -> None:
    """An object is served by whichever shard its label names, and one with a misspelt label is found."""
    place.install("+15550001111")
    place.wait()
    place.run(f"kubectl create -f - <<< '{json.dumps(lost())}'")
    with Reader("docs/sharding.md", place.terminal) as reader:
        reader.follow("From one operator to shards")
        *_, without = reader.follow("Three shards")
        assert len(place.controllers.operators) == 3
        assert [row[1] for row in table(without)] == ["NAME", "lost"]
        reader.follow("When a label moves")
        place.run("""
            kubectl annotate bek flows bek.dev/requested-at=moved
            kubectl wait bek flows --for=jsonpath='{.status.lastHandledReconcileAt}'=moved
        """)
        reader.follow("Back to one operator")
        assert len(place.controllers.operators) == 1

    assert place.publishes == 1


def lost() -> dict[str, Any]:
    """Return an object whose label has a value that no shard has."""
    body: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "samples" / "cloud.yaml").read_text(encoding="utf-8"))
    body["metadata"] = {"name": "lost", "labels": {"bek.dev/shard": "shard11"}}
    return body


def test_renewing_a_token(place: Place) -> None:
    """A new token takes effect without a restart."""
    token = place.cloud.token()
    place.terminal.env["TOKEN"], good = "EAAexpired0123456789", token.text
    place.install("+15550001111")
    place.wait("Stalled")
    with Reader("docs/reasons.md", place.terminal) as reader:
        reader.follow("Renewing a token", stdin=f"{good}\n")
        place.wait()

    assert place.first.publishes == 1
