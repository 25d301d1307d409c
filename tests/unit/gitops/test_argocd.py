"""Argo CD's health check and actions, run as Argo CD runs them: Lua 5.1 without its standard library.

The objects in `testdata` are what the operator makes of each state. Run from the repository's root, this makes all
generated files anew, whose difference is then to be reviewed:

    PYTHONPATH=operator:tests python tests/unit/gitops/test_argocd.py
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from lupa import lua51

from support.programs.binaries import packaged_kubectl
from unit.gitops.scenes import REQUEST, SCENES, Body, Scene, play, signed, suspended, text, unseen

DEPLOY: Final = Path(__file__).parents[3] / "deploy" / "components" / "argocd"
CUSTOMIZATION: Final = DEPLOY / "resource_customizations" / "bek.dev" / "BusinessEncryptionKey"
ACTIONS: Final = CUSTOMIZATION / "actions"
PATCH: Final = DEPLOY / "argocd-cm.yaml"
KEY: Final = "bek.dev_BusinessEncryptionKey"
ACTION_NAMES: Final = ("check", "resume", "suspend")


def name_of(scene: Scene) -> str:
    """Return the file of a scene's object, beside the script."""
    return f"testdata/{scene.__name__.replace('_', '-')}.yaml"


class Lua:
    """An interpreter with what Argo CD leaves in it: the language, and `os.date` and `os.time` where asked for."""

    KEPT: Final = ("assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type")

    def __init__(self) -> None:
        self._runtime = runtime = lua51.LuaRuntime(
            register_eval=False, register_builtins=False, unpack_returned_tuples=True, max_memory=16 * 2**20
        )
        found = runtime.globals()
        modules = {"os": runtime.table_from({name: found.os[name] for name in ("date", "time")})}
        kept = {name: found[name] for name in self.KEPT}
        for name in list(found):
            found[name] = kept.get(name)
        found.require = modules.__getitem__

    def run(self, script: str, body: Body) -> Any:
        """Return what a script makes of an object."""
        self._runtime.globals().obj = self._table(body)
        return self._value(self._runtime.execute(script))

    def _table(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._runtime.table_from({key: self._table(one) for key, one in value.items()})
        if isinstance(value, list):
            return self._runtime.table_from([self._table(one) for one in value])
        return value

    def _value(self, value: Any) -> Any:
        if lua51.lua_type(value) != "table":
            return value
        found = {key: self._value(one) for key, one in value.items()}
        return list(found.values()) if found and set(found) == set(range(1, len(found) + 1)) else found


def health(body: Body) -> dict[str, str]:
    """Return the health that Argo CD reports of an object."""
    found: dict[str, str] = Lua().run((CUSTOMIZATION / "health.lua").read_text(encoding="utf-8"), body)
    return found


def discovered(body: Body) -> list[dict[str, Any]]:
    """Return the actions that Argo CD offers for an object."""
    found = Lua().run((ACTIONS / "discovery.lua").read_text(encoding="utf-8"), body)
    return [{"name": name, "disabled": found[name]["disabled"]} for name in sorted(found)]


def acted(name: str, body: Body) -> Body:
    """Return an object as an action leaves it."""
    found: Body = Lua().run((ACTIONS / name / "action.lua").read_text(encoding="utf-8"), body)
    return found


def health_tests() -> str:
    """Return the file that Argo CD's own tests read for the health check."""
    return text({"tests": [{"healthStatus": health(play(scene)), "inputPath": name_of(scene)} for scene in SCENES]})


def action_tests() -> dict[str, str]:
    """Return the files that Argo CD's own tests read for the actions."""
    found = {scene: play(scene) for scene in (signed, suspended)}
    cases = (("check", signed), ("suspend", signed), ("resume", suspended))
    files = {f"testdata/{scene.__name__}.yaml": text(body) for scene, body in found.items()}
    for name, scene in cases:
        after = acted(name, found[scene])
        if name == "check":
            after["metadata"]["annotations"]["bek.dev/requested-at"] = REQUEST
        files[f"testdata/{scene.__name__}-{name}.yaml"] = text(after)
    files["action_test.yaml"] = text(
        {
            "discoveryTests": [
                {"inputPath": f"testdata/{scene.__name__}.yaml", "result": discovered(body)}
                for scene, body in found.items()
            ],
            "actionTests": [
                {
                    "action": name,
                    "inputPath": f"testdata/{scene.__name__}.yaml",
                    "expectedOutputPath": f"testdata/{scene.__name__}-{name}.yaml",
                }
                for name, scene in cases
            ],
        }
    )
    return files


class _Block(str):
    """Text that YAML shows line by line."""

    __slots__ = ()


yaml.SafeDumper.add_representer(
    _Block, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")
)


def patch() -> str:
    """Return the patch for the ConfigMap argocd-cm."""
    scripts = {name: (ACTIONS / name / "action.lua").read_text(encoding="utf-8") for name in ACTION_NAMES}
    actions = {
        "discovery.lua": _Block((ACTIONS / "discovery.lua").read_text(encoding="utf-8")),
        "definitions": [{"name": name, "action.lua": _Block(script)} for name, script in scripts.items()],
    }
    data = {
        f"resource.customizations.health.{KEY}": _Block((CUSTOMIZATION / "health.lua").read_text(encoding="utf-8")),
        f"resource.customizations.actions.{KEY}": _Block(text(actions)),
    }
    head = "# Made from resource_customizations/, which a test compares it with.\n"
    return head + text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": data})


def generated() -> dict[Path, str]:
    """Return every generated file with what it must hold."""
    files = {CUSTOMIZATION / name_of(scene): text(play(scene)) for scene in SCENES}
    files |= {ACTIONS / name: content for name, content in action_tests().items()}
    return files | {CUSTOMIZATION / "health_test.yaml": health_tests(), PATCH: patch()}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_each_state_has_its_health(scene: Scene) -> None:
    """The word decides whether a sync wave goes on, waits or fails."""
    assert health(play(scene))["status"] == SCENES[scene].argocd


def test_the_generated_files_are_up_to_date() -> None:
    """The module's docstring says how to make them anew."""
    found = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in generated()}
    assert found == generated()
    kept = {*CUSTOMIZATION.rglob("testdata/*"), *CUSTOMIZATION.rglob("*_test.yaml"), PATCH}
    assert kept == set(generated())


def test_the_component_patches_the_config_map(tmp_path: Path) -> None:
    """What else is in it, and its namespace, stay as they are."""
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "https://cd"}}
    (tmp_path / "argocd.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    overlay = {"resources": ["argocd.yaml"], "namespace": "cd", "components": [os.path.relpath(DEPLOY, tmp_path)]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")

    kustomize = [str(packaged_kubectl()), "kustomize", str(tmp_path)]
    built = yaml.safe_load(subprocess.run(kustomize, capture_output=True, text=True, check=True).stdout)

    assert built["metadata"] == {"name": "argocd-cm", "namespace": "cd"}
    assert built["data"] == {"url": "https://cd", **yaml.safe_load(patch())["data"]}


def test_a_message_that_may_be_out_of_date_does_not_alarm() -> None:
    """Argo CD shows the message of an unseen object until the health itself changes."""
    assert health(play(unseen))["message"] == "Waiting for the operator"


def test_the_check_action_requests_a_check() -> None:
    """The value is new each second, and short enough to be repeated in the status."""
    found = acted("check", play(signed))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["metadata"]["annotations"]["bek.dev/requested-at"])


def test_actions_change_nothing_else() -> None:
    """Resuming what was suspended leads back to the same object."""
    before = {**play(signed), "spec": {**play(signed)["spec"], "suspend": False}}
    assert acted("suspend", before) == {**before, "spec": {**before["spec"], "suspend": True}}
    assert acted("resume", acted("suspend", before)) == before


@pytest.mark.parametrize(("scene", "disabled"), [(signed, {"resume"}), (suspended, {"check", "suspend"})])
def test_actions_that_do_not_apply_are_disabled(scene: Scene, disabled: set[str]) -> None:
    """A suspended object is not checked, so a check cannot be requested."""
    assert {one["name"] for one in discovered(play(scene)) if one["disabled"]} == disabled


def test_the_scripts_have_no_standard_library() -> None:
    """A script that uses one would fail in Argo CD only."""
    with pytest.raises(lua51.LuaError, match="attempt to index global 'string'"):
        Lua().run("return string.len('a')", {})


if __name__ == "__main__":
    for path, content in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
