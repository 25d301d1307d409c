"""`kubectl bek` as a user types it: the real kubectl, a real API server, and the operator beside it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from support import keys
from support.cluster.scene import KEY_SECRET, conditions

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.plugin import Plugin
    from support.cluster.scene import Scene


class User:
    """Somebody who works in one namespace."""

    def __init__(self, scene: Scene, plugin: Plugin) -> None:
        self.scene = scene
        self.plugin = plugin

    def bek(self, *arguments: str) -> CompletedProcess[str]:
        """Run a command in the namespace."""
        return self.plugin.run(*arguments, "--namespace", self.scene.namespace)

    def status(self, *arguments: str) -> list[list[str]]:
        """Return what `status` prints in words, without the namespace's name; ages are shown as AGE."""
        lines = self.bek("status", *arguments).stdout.replace(self.scene.namespace, "NAMESPACE").splitlines()
        return [re.sub(r"\b([0-9]+[smhd])+\b", "AGE", line).split() for line in lines]


@pytest.fixture
def user(scene: Scene, plugin: Plugin) -> User:
    """Provide a user."""
    return User(scene, plugin)


def words(*lines: str) -> list[list[str]]:
    """Return lines in words."""
    return [line.split() for line in lines]


def begin(scene: Scene) -> list[str]:
    """Have every number signed; return the numbers."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    return list(scene.simulator.pods)


def test_a_healthy_object(user: User) -> None:
    """A heading, the conditions and a line for each number; the exit status says that all is well."""
    numbers = begin(user.scene)
    key = keys.rsa().fingerprint.removeprefix("sha256:")[:12]

    assert user.bek("status").returncode == 0
    assert user.status(user.scene.kubectl("get", "bek", "--output=name").strip()) == words(
        f"NAMESPACE/flows: 3/3 signed, key {key}, Secret {KEY_SECRET}",
        "CONDITION STATUS REASON AGE MESSAGE",
        f"Ready True Succeeded AGE 3 numbers signed with key {key}",
        "NUMBER API REASON KEY SIGNATURE PUBLISHED NEXT MESSAGE",
        *(f"{number} default Signed {key} VALID AGE ago" for number in numbers),
    )
    assert user.status("--unhealthy") == words("1 healthy, none unhealthy.")


def test_the_number_that_is_broken_comes_first(user: User) -> None:
    """With its reason and what to do; `--unhealthy` shows nothing else."""
    *others, broken = begin(user.scene)
    pod = user.scene.simulator.pods[broken]
    pod.password = "Another-Horse-8"
    pod.expire_tokens()
    result = user.bek("check", "flows", "--wait")
    shown = user.status("--unhealthy")

    assert result.returncode == 1
    assert "2/3 signed; AccessDenied: " in result.stdout
    assert user.bek("status").returncode == 1
    lines = [line for line in user.status() if line[0].startswith("+")]
    assert [line[0] for line in lines] == [broken, *others]
    assert lines[0][2] == "AccessDenied"
    assert [line[0] for line in shown if line[0].startswith("+")] == [broken]


def test_a_number_with_another_key_is_marked(user: User) -> None:
    """While nobody publishes, the key that the number holds is seen and marked."""
    first, *_ = begin(user.scene)
    user.scene.change(publishPolicy="Never")
    user.scene.simulator.pods[first].overwrite(keys.rsa("rival").public)
    user.scene.check()
    rival = keys.rsa("rival").fingerprint.removeprefix("sha256:")[:12]

    shown = user.status()
    report = user.bek("key", "flows")

    assert [first, "default", "ForeignKey", f"{rival}*", "VALID"] in [line[:5] for line in shown]
    assert ["*", "The", "number", "holds", "another", "key", "than", "the", "Secret."] in shown
    assert report.returncode == 1
    assert "held by 2 of 3 numbers\n" in report.stdout
    assert f"{first} holds another key: {rival}\n" in report.stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data_for_scripts(user: User, output: str) -> None:
    """The same as JSON and YAML."""
    numbers = begin(user.scene)
    text = user.bek("status", "-o", output).stdout
    (found,) = (json.loads(text) if output == "json" else yaml.safe_load(text))["items"]

    assert found["healthy"]
    assert found["publicKeyFingerprint"] == keys.rsa().fingerprint
    assert [one["phoneNumber"] for one in found["phoneNumbers"]] == numbers
    assert all(one["holdsCurrentKey"] for one in found["phoneNumbers"])


def test_a_check_is_waited_for(user: User) -> None:
    """Each number is looked at once more before the command ends."""
    begin(user.scene)
    user.scene.simulator.forget_requests()

    result = user.bek("check", "flows", "--wait")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["businessencryptionkey.bek.dev/flows check requested", "3/3 signed"]
    assert all(pod.reads for pod in user.scene.simulator.pods.values())


def test_a_check_that_waits_for_its_user_fails_early(user: User) -> None:
    """With an unusable key no number is ever checked: the command says so instead of waiting."""
    user.scene.put_secret(KEY_SECRET, {"private.pem": "nonsense"})
    user.scene.apply(user.scene.manifest())
    user.scene.wait_for(lambda: "Stalled" in conditions(user.scene.get()), "it is Stalled")

    result = user.bek("check", "flows", "--wait")

    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("InvalidKey: ")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_it_is_shown_again_when_it_changes(user: User, *, terminal: bool) -> None:
    """Until an interrupt, after which nothing else is written."""
    begin(user.scene)
    within = f"--namespace={user.scene.namespace}"
    with user.plugin.started("status", "--watch", within, terminal=terminal) as watch:
        watch.read_until("/flows: 3/3 signed")
        user.scene.change(suspend=True)
        watch.read_until(f"Secret {KEY_SECRET}, suspended")
        watch.interrupt()
        status = watch.wait()

    assert status == 130
    assert "Abort" not in watch.shown


def test_suspend_and_resume(user: User) -> None:
    """What kubectl shows of it, and that a tool which applies the object is named."""
    begin(user.scene)
    user.scene.kubectl("annotate", "bek", "flows", "argocd.argoproj.io/tracking-id=keys:bek.dev/x:y/z")

    suspended = user.bek("suspend", "flows")
    again = user.bek("suspend", "flows")
    checked = user.bek("check", "flows")
    shown = user.bek("status").stdout
    resumed = user.bek("resume", "bek/flows")

    assert suspended.stdout == "businessencryptionkey.bek.dev/flows suspended\n"
    assert suspended.stderr.startswith("warning: Argo CD (Application keys) applies this object")
    assert (again.stdout, again.stderr) == ("businessencryptionkey.bek.dev/flows suspended (unchanged)\n", "")
    assert (checked.returncode, checked.stderr[:27]) == (2, "error: flows is suspended, ")
    assert f"Secret {KEY_SECRET}, suspended\n" in shown
    assert resumed.stdout == "businessencryptionkey.bek.dev/flows resumed\n"
    assert user.scene.get()["spec"]["suspend"] is False


def test_a_key_is_judged_before_it_is_applied(user: User, tmp_path: Path) -> None:
    """In the words of the status, and without a cluster."""
    good, bad = tmp_path / "private.pem", tmp_path / "short.pem"
    good.write_text(keys.rsa().private, encoding="ascii")
    bad.write_text(keys.rsa("short", 1024).private, encoding="ascii")

    accepted = user.plugin.run("key", "-f", str(good), KUBECONFIG="/none")
    refused = user.plugin.run("key", "-f", str(bad), KUBECONFIG="/none")
    typed = user.plugin.run("key", "-f", "-", stdin=keys.rsa().private, KUBECONFIG="/none")

    assert (accepted.returncode, refused.returncode) == (0, 1)
    assert typed.returncode == 0
    assert typed.stdout == accepted.stdout.replace("private.pem", "standard input")
    assert accepted.stdout.splitlines() == [
        "private.pem: private key (PRIVATE KEY)",
        "usable: RSA, 2048 bits",
        f"fingerprint: {keys.rsa().fingerprint}",
        f"key id: {keys.rsa().fingerprint.removeprefix('sha256:')[:12]}",
    ]
    assert "unusable: short.pem is an RSA key of 1024 bits; an RSA key of 2048 bits is needed" in refused.stdout


def test_an_encrypted_file_needs_its_passphrase(user: User, tmp_path: Path) -> None:
    """Another file has it."""
    locked, passphrase = tmp_path / "locked.pem", tmp_path / "passphrase"
    locked.write_text(keys.encrypted().private, encoding="ascii")
    passphrase.write_text(str(keys.encrypted().passphrase), encoding="ascii")

    without = user.plugin.run("key", "-f", str(locked), KUBECONFIG="/none")
    misplaced = user.plugin.run("key", "flows", "--passphrase-file", str(passphrase), KUBECONFIG="/none")
    opened = user.plugin.run("key", "-f", str(locked), "--passphrase-file", str(passphrase), KUBECONFIG="/none")

    assert (without.returncode, without.stderr) == (1, "hint: --passphrase-file names a file with the passphrase\n")
    assert misplaced.returncode == 2
    assert "--passphrase-file is for a file with -f" in misplaced.stderr
    assert opened.returncode == 0
    assert f"fingerprint: {keys.encrypted().fingerprint}\n" in opened.stdout


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("status", "pod/flows"), "'pod/flows' cannot be the name of a BusinessEncryptionKey; write NAME or bek/NAME"),
        (("check", "bek/"), "'' cannot be the name of a BusinessEncryptionKey; write NAME or bek/NAME"),
        (("status", "--namespace", "../x"), "'../x' cannot be the name of a namespace"),
    ],
)
def test_what_cannot_be_a_name(plugin: Plugin, arguments: tuple[str, ...], fault: str) -> None:
    """Nothing is asked of the API server."""
    result = plugin.run(*arguments)
    assert (result.returncode, result.stderr) == (2, f"error: {fault}\n")


@pytest.mark.parametrize(
    ("command", "verb", "role"),
    [
        (("status",), "list", "view"),
        (("status", "flows"), "get", "view"),
        (("check", "flows"), "patch", "edit"),
        (("suspend", "flows"), "patch", "edit"),
        (("resume", "flows"), "patch", "edit"),
        (("key", "flows"), "get", "view"),
        (("rotate", "flows"), "get", "view"),
        (("endpoint", "flows"), "get", "view"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_what_the_user_is_not_allowed_to_do(user: User, command: tuple[str, ...], verb: str, role: str) -> None:
    """The missing right is named, and the role that has it."""
    scene = user.scene
    scene.kubectl("create", "serviceaccount", "nobody")
    if role == "edit":
        scene.apply(scene.manifest())
        scene.change("flows", suspend=command[0] == "resume")
        scene.kubectl("create", "role", "reader", "--verb=get,list", "--resource=businessencryptionkeys.bek.dev")
        scene.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={scene.namespace}:nobody")
    token = scene.api_server.service_account_token(scene.namespace, "nobody")
    nobody = scene.api_server.kubeconfig(token, name="nobody")

    result = user.plugin.run(*command, "--namespace", scene.namespace, kubeconfig=nobody)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: you are not allowed to {verb} businessencryptionkeys.bek.dev in the namespace {scene.namespace};"
        f" the ClusterRole {role} would allow it\n"
    )


def test_credentials_that_expired(user: User) -> None:
    """A token that the API server does not know."""
    expired = user.scene.api_server.kubeconfig("expired", name="expired")
    result = user.plugin.run("status", kubeconfig=expired)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: the API server does not accept your credentials (HTTP 401); log in again, or use another --context\n"
    )


def test_what_does_not_exist(user: User) -> None:
    """Neither an object nor a namespace's objects nor a kubeconfig."""
    missing = user.bek("status", "flow")
    none = user.bek("status")
    homeless = user.plugin.run("status", KUBECONFIG="/none")

    assert (missing.returncode, missing.stderr) == (
        2,
        f'error: businessencryptionkeys.bek.dev "flow" not found in the namespace {user.scene.namespace}\n',
    )
    assert (none.returncode, none.stdout) == (0, f"No resources found in the namespace {user.scene.namespace}.\n")
    assert (homeless.returncode, homeless.stderr) == (
        2,
        "error: no credentials for the API server: there is no kubeconfig at /none; set KUBECONFIG\n",
    )


def test_completion_in_a_shell(user: User) -> None:
    """Kubectl asks for it: commands, options and the names of objects in the namespace."""
    scene, complete = user.scene, user.plugin.completions
    scene.apply(scene.manifest("flows"), scene.manifest("shop", numbers=["+15550009999"]))
    within = f"--namespace={scene.namespace}"

    assert complete("su") == ["suspend\tStop all calls for an object.", ":4"]
    assert complete("status", within, "") == ["flows", "shop", ":4"]
    assert complete("status", within, "bek/s") == ["bek/shop", ":4"]
    assert complete("rotate", "-n", scene.namespace, "f") == ["flows", ":4"]
    assert [line.partition("\t")[0] for line in complete("check", "--w")] == ["--wait", ":4"]
    assert complete("key", "-f", "") == [":0"]
    assert complete("status", "--kubeconfig", "/none", "") == [":4"]
