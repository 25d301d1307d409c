"""What an administrator does with kubectl alone: install, apply again, upgrade, roll back, remove, and side by side."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest
import yaml

from cluster.installation import Installation
from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.scene import Scene
from support.kustomize import BUILDS, DEPLOY, overlay
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT = f"--kustomize={BUILDS['default']}"
INSTALL_PAGE = DEPLOY.parent / "docs" / "install.md"


def versions(api_server: ApiServer, *flags: str) -> dict[tuple[str, str], str]:
    """Apply everything; return the resourceVersion of every object by kind and name."""
    answer = json.loads(api_server.kubectl("apply", DEFAULT, "--output=json", *flags).stdout)
    return {(item["kind"], item["metadata"]["name"]): item["metadata"]["resourceVersion"] for item in answer["items"]}


def test_a_second_apply_finds_nothing_to_do(installed: ApiServer) -> None:
    """Not even a request that the server answers with what it has."""
    installed.kubectl("apply", DEFAULT)

    error = installed.kubectl("apply", DEFAULT).stdout.splitlines()

    assert [line for line in error if not line.endswith(" unchanged")] == []
    assert "deployment.apps/bek-operator unchanged" in error


def test_a_second_server_side_apply_writes_nothing(installed: ApiServer) -> None:
    """It never says "unchanged", but no object gets a new version."""
    first = versions(installed, "--server-side", "--force-conflicts")
    second = versions(installed, "--server-side", "--force-conflicts")

    assert ("Deployment", "bek-operator") in first
    assert second == first


@pytest.fixture
def empty() -> Iterator[ApiServer]:
    """Provide an API server on which nothing is installed."""
    with ApiServer() as server:
        yield server


def section(name: str) -> str:
    """Return a section of the page about installing."""
    return INSTALL_PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def documented(name: str, **folders: Path) -> list[list[str]]:
    """Return the arguments of kubectl in a section's blocks of commands, with paths of ours and the user's folders."""
    ours = {one: str(INSTALL_PAGE.parents[1] / one) for one in ("crds", "deploy/default/user-roles.yaml")}
    places = ours | {word: str(folder) for word, folder in folders.items()}
    lines = re.findall(r"^ {4}(kubectl .+)$", section(name), re.MULTILINE)
    return [[places.get(word, word) for word in shlex.split(line)[1:]] for line in lines]


def changed(installation: Installation) -> list[str]:
    """Return what applying it has changed."""
    return [line for line in installation.applied if not line.endswith(" unchanged")]


def deployed(server: ApiServer) -> dict[str, object]:
    """Return the spec of the Deployment."""
    found = server.kubectl("get", "deployment", "bek-operator", "--namespace=bek-system", "--output=json").stdout
    return dict(json.loads(found)["spec"])


def test_from_the_first_install_to_the_last_delete(empty: ApiServer, simulator: OnPremises, tmp_path: Path) -> None:
    """An object and its numbers notice nothing of an upgrade, a way back, a removal and another installation."""
    file = tmp_path / "install.yaml"
    file.write_text(empty.kubectl("kustomize", str(BUILDS["default"])).stdout, encoding="utf-8")
    created = empty.kubectl("apply", f"--filename={file}").stdout.splitlines()
    assert [line for line in created if not line.endswith(" created")] == []
    empty.wait_until_established("businessencryptionkeys.bek.dev")
    first = Installation(empty, BUILDS["default"])
    assert changed(first) == []
    before = deployed(empty)

    process = first.process(first.deployments[0])
    empty.kubectl("create", "namespace", "messaging")
    scene = Scene(empty, "messaging", simulator, process)
    scene.put_access()
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    with process:
        scene.wait_ready()
        scene.wait_for(lambda: bool(scene.events()), "the events are posted")
        process.stop()
    settled = scene.get()

    images = [{"name": "bek-operator", "newName": "registry.example.com/bek-operator", "newTag": "0.2.0"}]
    second = Installation(empty, overlay(tmp_path / "upgrade", BUILDS["default"], images=images))
    assert changed(second) == ["deployment.apps/bek-operator configured"]
    assert "registry.example.com/bek-operator:0.2.0" in json.dumps(deployed(empty))
    back = Installation(empty, BUILDS["default"])
    assert changed(back) == ["deployment.apps/bek-operator configured"]
    assert deployed(empty) == before

    *remove_operator, remove_all = documented("Remove")
    for command in remove_operator:
        # Without a controller manager the namespace stays Terminating.
        empty.kubectl(*command, "--wait=false")
    for kind in ("clusterrolebindings", "clusterroles"):
        assert "bek" not in empty.kubectl("get", kind, "--output=name").stdout
    assert scene.get() == settled

    moved = Installation(empty, overlay(tmp_path / "moved", BUILDS["default"], namespace="platform", namePrefix="eu-"))
    with moved.process(moved.deployments[0]):
        scene.check()
        scene.wait_ready()
    assert scene.get()["metadata"]["uid"] == settled["metadata"]["uid"]
    assert [pod.publishes for pod in simulator.pods.values()] == [1, 1, 1]

    empty.kubectl(*remove_all)
    assert "businessencryptionkeys" not in empty.kubectl("api-resources", "--output=name").stdout
    assert simulator.all_hold(keys.rsa().public)


def test_two_namespaces_have_an_operator_each(empty: ApiServer, tmp_path: Path) -> None:
    """Each serves its own, asks nothing about the other's, and one that is away or removed is missed only at home."""
    shown = re.search(r"^```yaml\n(.+?)^```", section("For one namespace"), re.MULTILINE | re.DOTALL)
    assert shown
    written = yaml.safe_load(shown[1])
    assert written.pop("resources") == ["bek-operator/deploy/namespaced"]
    names = ("messaging", "sales")
    folders = [overlay(tmp_path / name, BUILDS["namespaced"], **{**written, "namespace": name}) for name in names]
    *prepare, _, remove = documented("For one namespace", OVERLAY=folders[0])
    for command in prepare:
        empty.kubectl(*command)
    empty.wait_until_established("businessencryptionkeys.bek.dev")
    for name in names:
        empty.kubectl("create", "namespace", name)
    with OnPremises(numbers(2)) as here, OnPremises(numbers(2)) as there:
        installations = [Installation(empty, folder) for folder in folders]
        processes = [one.process(one.deployments[0]) for one in installations]
        scenes = [
            Scene(empty, name, simulator, process)
            for name, simulator, process in zip(names, (here, there), processes, strict=True)
        ]
        for scene in scenes:
            scene.put_access()
            scene.put_key(keys.rsa())
            scene.apply(scene.manifest())
        with processes[0], processes[1]:
            for scene in scenes:
                scene.wait_ready()
            processes[0].stop()
            for scene in scenes:
                scene.put_key(keys.rsa("second"))
            scenes[1].wait_for(lambda: there.all_hold(keys.rsa("second").public), "the other one works on")
            assert here.all_hold(keys.rsa().public)
            processes[0].start()
            scenes[0].wait_for(lambda: here.all_hold(keys.rsa("second").public), "it is back")
            for scene in scenes:
                scene.wait_ready()
            empty.kubectl(*remove)
            scenes[1].check()
    for installation in installations:
        requests = installation.requests(0)
        assert {one.namespace for one in requests if one.resource} == {installation.namespace}
    assert [one.uri for one in installations[1].requests(0) if one.is_refused] == []
    assert scenes[0].ready() == ("True", "Succeeded")
