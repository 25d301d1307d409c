"""A BusinessEncryptionKey in the real kubectl."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cluster.manifests import SAMPLES, changed, large, manifest, on_premises, small
from support.cluster.apiserver import KubectlError
from support.cluster.crd import CRD_FILE, install_crd

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from cluster.manifests import Manifest
    from support.cluster.apiserver import ApiServer

NOW = "2026-11-22T10:00:00Z"
FINGERPRINT = f"sha256:{'9f86d081ab12' + '0' * 52}"


class Namespace:
    """Kubectl in a namespace of the test's own."""

    def __init__(self, server: ApiServer, name: str) -> None:
        self.server = server
        self.name = name

    def kubectl(self, *arguments: str, body: Manifest | None = None) -> CompletedProcess[str]:
        """Run kubectl, with an object on its standard input where the arguments say so."""
        stdin = json.dumps(body) if body else ""
        return self.server.kubectl(*arguments, f"--namespace={self.name}", stdin=stdin)

    def create(self, body: Manifest) -> None:
        """Create an object."""
        self.kubectl("create", "--filename=-", body=body)

    def apply(self, body: Manifest, *, owner: str, force: bool = False) -> None:
        """Apply an object on the server's side, in the name of one of its owners."""
        options = [f"--field-manager={owner}", f"--force-conflicts={str(force).lower()}"]
        self.kubectl("apply", "--server-side", *options, "--filename=-", body=body)

    def get(self) -> Manifest:
        """Return the object as it is now."""
        found: Manifest = json.loads(self.kubectl("get", "bek", "flows", "--output=json").stdout)
        return found

    def write_status(self, status: dict[str, Any]) -> None:
        """Put a status in the place of the one that is there, as the operator does."""
        body = self.get() | {"status": status}
        self.kubectl("replace", "--subresource=status", "--filename=-", body=body)

    def rows(self, *options: str) -> list[list[str]]:
        """Return what `kubectl get` prints, in cells; an empty cell is an empty string."""
        header, *lines = self.kubectl("get", "bek", *options).stdout.splitlines()
        starts = [match.start() for match in re.finditer(r"\S+", header)]
        ends = [*starts[1:], None]
        return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in (header, *lines)]


@pytest.fixture(scope="module")
def crd(api_server: ApiServer) -> ApiServer:
    """Provide the API server with the CRD installed."""
    install_crd(api_server)
    return api_server


@pytest.fixture
def messaging(crd: ApiServer, namespace: str, no_operator: None) -> Namespace:  # noqa: ARG001 - for what it does
    """Provide a namespace in which objects can be created and stay as they are."""
    return Namespace(crd, namespace)


def status(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the status of an object of which nothing is wrong."""
    condition = {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": NOW,
        "reason": "Succeeded",
        "message": "All numbers hold the key.",
    }
    return {
        "conditions": [condition],
        "observedGeneration": 1,
        "publicKeyFingerprint": FINGERPRINT,
        "keyID": "9f86d081ab12",
        "desiredNumbers": len(rows),
        "signedNumbers": len(rows),
        "signed": f"{len(rows)}/{len(rows)}",
        "phoneNumbers": rows,
        "lastHandledReconcileAt": "once more",
    }


def row(entry: dict[str, Any], **fields: object) -> dict[str, Any]:
    """Return the row of a number that holds the key."""
    return {
        "phoneNumber": entry["phoneNumber"],
        "api": entry.get("api", "default"),
        "signatureStatus": "VALID",
        "reason": "Signed",
        "message": "",
        "observedFingerprint": FINGERPRINT,
        "lastPublishTime": NOW,
        "publishes": 1,
        **fields,
    }


def test_new_object_is_marked_as_not_yet_seen(messaging: Namespace) -> None:
    """A status that nobody has written says generation -1, so that every GitOps tool waits."""
    messaging.create(small())
    found = messaging.get()
    assert found["status"] == {"observedGeneration": -1}
    assert found["metadata"]["generation"] == 1


def test_defaults_are_visible(messaging: Namespace) -> None:
    """The policy and the switch are there to be read in the stored object, and nothing else was added."""
    body = small()
    messaging.create(body)
    assert messaging.get()["spec"] == body["spec"] | {"publishPolicy": "IfNeeded", "suspend": False}


def test_columns_are_empty_before_the_operator_comes(messaging: Namespace) -> None:
    """A fresh object shows its name and age, and claims nothing."""
    messaging.create(small())
    header, cells = messaging.rows()
    assert header == ["NAME", "READY", "SIGNED", "REASON", "AGE"]
    assert cells[:4] == ["flows", "", "", ""]


def test_columns_show_the_outcome(messaging: Namespace) -> None:
    """`kubectl get` shows the outcome in a line, and `-o wide` key, Secret, suspension and message too."""
    body = small()
    messaging.create(body)
    messaging.write_status(status([row(entry) for entry in body["spec"]["phoneNumbers"]]))
    assert messaging.rows()[1][:4] == ["flows", "True", "3/3", "Succeeded"]
    header, cells = messaging.rows("--output=wide")
    assert header == ["NAME", "READY", "SIGNED", "REASON", "AGE", "KEY", "SECRET", "SUSPENDED", "MESSAGE"]
    assert cells[5:] == ["9f86d081ab12", "flows-key", "false", "All numbers hold the key."]
    messaging.kubectl("patch", "bek", "flows", "--type=merge", '--patch={"spec": {"suspend": true}}')
    assert messaging.rows("--output=wide")[1][7] == "true"


def test_object_goes_by_several_names(messaging: Namespace) -> None:
    """The short name and the project's category both find the object; `all` does not."""
    messaging.create(small())
    found = "businessencryptionkey.bek.dev/flows\n"
    assert messaging.kubectl("get", "bek", "--output=name").stdout == found
    assert messaging.kubectl("get", "bek-operator", "--output=name").stdout == found
    assert messaging.kubectl("get", "all", "--output=name").stdout == ""


def test_objects_are_found_by_their_secret(messaging: Namespace) -> None:
    """Whoever is about to change a Secret can ask which objects use it."""
    messaging.create(small())
    for secret, found in (("flows-key", "businessencryptionkey.bek.dev/flows\n"), ("other", "")):
        selector = f"--field-selector=spec.keySecretRef.name={secret}"
        assert messaging.kubectl("get", "bek", selector, "--output=name").stdout == found


@pytest.mark.parametrize(
    "path",
    [
        "spec",
        "spec.keySecretRef.passphraseKey",
        "spec.apis.onPremises.tls.serverName",
        "spec.apis.provider.apiKeyHeader",
        "spec.apis.provider.apiKeySecretRef.key",
        "spec.phoneNumbers.phoneNumberID",
        "spec.rollout",
        "spec.rollout.firstNumber.pauseSeconds",
        "status.conditions",
        "status.phoneNumbers.publishes",
    ],
)
def test_explain_shows_the_text_of_a_field(path: str, crd: ApiServer) -> None:
    """`kubectl explain` prints what the CRD says of a field."""
    [version] = yaml.safe_load(CRD_FILE.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        schema = schema.get("items", schema)["properties"][name]
    explained = crd.kubectl("explain", f"bek.{path}").stdout
    assert " ".join(schema["description"].split()) in " ".join(explained.split())


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_sample_is_accepted(sample: str, messaging: Namespace) -> None:
    """Every sample that is shipped is taken by the server without a warning."""
    answer = messaging.kubectl("apply", "--validate=strict", f"--filename={SAMPLES / sample}")
    assert answer.stdout == "businessencryptionkey.bek.dev/flows created\n"
    assert answer.stderr == ""


def test_rules_take_a_small_part_of_the_budget(api_server: ApiServer) -> None:
    """The server would admit a definition with every rule 32 times, so all of them cost less than a thirtieth."""
    body = yaml.safe_load(CRD_FILE.read_text())
    body["spec"]["group"] = "budget.example"
    body["metadata"] = {"name": f"{body['spec']['names']['plural']}.budget.example"}
    repeat_rules(body["spec"]["versions"][0]["schema"]["openAPIV3Schema"], 32)

    created = api_server.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(body))

    assert "created (server dry run)" in created.stdout


def repeat_rules(schema: dict[str, Any], times: int) -> None:
    """Have every validation rule of a schema so many times."""
    if "x-kubernetes-validations" in schema:
        schema["x-kubernetes-validations"] *= times
    for child in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else ())):
        repeat_rules(child, times)


def test_two_owners_apply_numbers_of_their_own(messaging: Namespace) -> None:
    """A second owner adds and removes its numbers without naming the rest or touching those of the first."""
    messaging.apply(small(), owner="team-a")
    messaging.apply(manifest({"phoneNumbers": [{"phoneNumber": "+15550003333"}]}), owner="team-b")
    numbers = [entry["phoneNumber"] for entry in messaging.get()["spec"]["phoneNumbers"]]
    assert sorted(numbers) == ["+15550001111", "+15550002222", "+15550003333", "+15550004444"]

    messaging.apply(small(), owner="team-a")
    assert len(messaging.get()["spec"]["phoneNumbers"]) == 4
    messaging.apply(manifest({}), owner="team-b")
    assert messaging.get()["spec"]["phoneNumbers"] == small()["spec"]["phoneNumbers"]


def test_first_number_of_a_rollout_stays_listed(messaging: Namespace) -> None:
    """Whoever takes a number away that goes first in a rollout gets a message that names the field."""
    messaging.apply(changed(small(), {"rollout.firstNumber": None}), owner="team-a")
    named = {"phoneNumber": "+15550003333"}
    messaging.apply(manifest({"phoneNumbers": [named]}), owner="team-b")
    messaging.apply(manifest({"rollout": {"firstNumber": named}}), owner="team-c")
    with pytest.raises(KubectlError, match=r"`rollout\.firstNumber\.phoneNumber` must be listed in `phoneNumbers`"):
        messaging.apply(manifest({}), owner="team-b")


def test_owner_of_numbers_alone_cannot_come_first(messaging: Namespace) -> None:
    """A part of a spec is refused while there is nothing that it would be a part of."""
    part = manifest({"phoneNumbers": [{"phoneNumber": "+15550003333"}]})
    with pytest.raises(KubectlError, match="`keySecretRef` must name the Secret"):
        messaging.apply(part, owner="team-b")


def test_merge_patch_replaces_a_list_as_a_whole(messaging: Namespace) -> None:
    """A merge patch moves an api to another type by the whole list, with or without a null for the old member."""
    messaging.create(small())
    moved = on_premises("meta", "https://gateway.example.com/{digits}")
    others = small()["spec"]["apis"][:-1]
    for entry in (moved, moved | {"cloud": None}):
        patch = json.dumps({"spec": {"apis": [*others, entry]}})
        messaging.kubectl("patch", "bek", "flows", "--type=merge", f"--patch={patch}")
        assert messaging.get()["spec"]["apis"] == [*others, moved]


def test_patch_that_keeps_the_old_member_is_refused(messaging: Namespace) -> None:
    """Whoever changes only the type gets a message about the old member."""
    messaging.create(small())
    patch = json.dumps([{"op": "replace", "path": "/spec/apis/2/type", "value": "OnPremises"}])
    with pytest.raises(KubectlError, match="`cloud` must be set exactly when type is Cloud; remove it otherwise"):
        messaging.kubectl("patch", "bek", "flows", "--type=json", f"--patch={patch}")


@pytest.mark.parametrize("removal", [{}, {"cloud": None}], ids=["left out", "null"])
def test_type_is_switched_by_the_owner_of_the_old_member(removal: dict[str, None], messaging: Namespace) -> None:
    """With server-side apply only the owner of a member can take it away, not even force makes another one able to."""
    switched = changed(small(), {"apis.-1": on_premises("meta", "https://meta-{digits}")})
    with_removal = changed(switched, {"apis.-1": switched["spec"]["apis"][-1] | removal})
    messaging.apply(small(), owner="team-a")
    with pytest.raises(KubectlError, match="`cloud` must be set exactly when type is Cloud; remove it otherwise"):
        messaging.apply(with_removal, owner="team-b", force=True)
    messaging.apply(switched, owner="team-a")
    assert messaging.get()["spec"]["apis"] == switched["spec"]["apis"]


def test_largest_status_is_accepted(messaging: Namespace) -> None:
    """A status with a row for each of a thousand numbers, each as long as may be, can be written."""
    body = large()
    messaging.create(body)
    rows = [
        row(
            entry,
            reason="R" * 64,
            message="m" * 256,
            signatureStatus="MISMATCH",
            publishes=2**31 - 1,
        )
        for entry in body["spec"]["phoneNumbers"]
    ]
    written = status(rows)
    messaging.write_status(written)
    assert messaging.get()["status"] == written


def test_status_takes_words_that_it_does_not_know_yet(messaging: Namespace) -> None:
    """A newer operator's reasons and types are written to an older CRD without trouble."""
    body = small()
    messaging.create(body)
    written = status([row(body["spec"]["phoneNumbers"][0], reason="Quarantined", signatureStatus="PENDING_REVIEW")])
    written["conditions"].append(written["conditions"][0] | {"type": "Contested", "reason": "SomebodyElse"})
    messaging.write_status(written)
    assert messaging.get()["status"] == written
