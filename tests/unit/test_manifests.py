"""What is in `deploy/`: permissions, references, and what overlays and components make of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bek_operator.settings import read_settings
from support.kustomize import BUILDS, COMPONENTS, DEPLOY, Body, build, overlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}

OVERLAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "namespace": {"namespace": "platform"},
    "prefix": {"namePrefix": "eu-"},
    "suffix": {"nameSuffix": "-blue"},
    "all of them": {"namespace": "platform", "namePrefix": "eu-", "nameSuffix": "-blue"},
}


def of_kind(bodies: Iterable[Body], *kinds: str) -> list[Body]:
    """Return the objects of some kinds."""
    return [one for one in bodies if one["kind"] in kinds]


def template(deployment: Body) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the spec of a Deployment's Pods, and their container."""
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.fixture(scope="module")
def default() -> list[Body]:
    """Provide what `kubectl apply -k deploy/default` installs."""
    return build(BUILDS["default"])


@pytest.mark.parametrize("name", BUILDS)
def test_roles_have_least_privilege(name: str) -> None:
    """No wildcards, Secrets are read only, and only the operator writes a status."""
    roles = of_kind(build(BUILDS[name]), "ClusterRole", "Role")
    rules = [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]

    assert rules
    assert [name for name, rule in rules if "*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]] == []
    assert {verb for _, rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]} == {
        "get",
        "list",
        "watch",
    }
    assert {name for name, rule in rules if any(one.endswith("/status") for one in rule["resources"])} == {
        "bek-operator"
    }


@pytest.mark.parametrize("changes", OVERLAYS.values(), ids=OVERLAYS.keys())
@pytest.mark.parametrize("name", ["default", "namespaced"])
def test_an_overlay_keeps_references_consistent(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    """Role, binding, account and Deployment still refer to each other."""
    bodies = build(overlay(tmp_path, BUILDS[name], **changes))

    (account,) = [body["metadata"] for body in of_kind(bodies, "ServiceAccount")]
    bindings = of_kind(bodies, "ClusterRoleBinding", "RoleBinding")
    prefix, suffix = changes.get("namePrefix", ""), changes.get("nameSuffix", "")
    assert account["name"] == f"{prefix}bek-operator{suffix}"
    assert account["namespace"] == changes.get("namespace", "bek-system")
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    assert [one["subjects"] for one in bindings] == [[subject], [subject]]
    roles = {(body["kind"], body["metadata"]["name"]) for body in bodies}
    assert {(one["roleRef"]["kind"], one["roleRef"]["name"]) for one in bindings} <= roles
    namespaced = [one["metadata"].get("namespace") for one in bodies if one["kind"] not in CLUSTER_WIDE]
    assert {*namespaced} == {account["namespace"]}
    # The replicas look for their Lease in their own namespace, by a name that no overlay changes.
    lease = read_settings({"lease-namespace": account["namespace"]}, in_pod=True).lease
    assert lease
    (role,) = [one for one in of_kind(bodies, "Role") if "leader-election" in one["metadata"]["name"]]
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, [lease.name]]
    (deployment,) = of_kind(bodies, "Deployment")
    assert template(deployment)[0]["serviceAccountName"] == account["name"]


def test_what_is_namespaced_has_nothing_of_the_whole_cluster(default: list[Body]) -> None:
    """The same permissions by Roles, and an operator that is told its own namespace."""
    bodies = build(BUILDS["namespaced"])

    assert of_kind(bodies, *CLUSTER_WIDE) == []
    assert {one["roleRef"]["kind"] for one in of_kind(bodies, "RoleBinding")} == {"Role"}
    named = {one["metadata"]["name"]: one["rules"] for one in of_kind(default, "ClusterRole", "Role")}
    assert {one["metadata"]["name"]: one["rules"] for one in of_kind(bodies, "Role")} == {
        name: rules for name, rules in named.items() if name.startswith("bek-operator")
    }
    (deployment,), (other,) = of_kind(bodies, "Deployment"), of_kind(default, "Deployment")
    env = template(deployment)[1].pop("env")
    assert env == [{"name": "BEK_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]
    assert deployment == other


@pytest.mark.parametrize("changes", OVERLAYS.values(), ids=OVERLAYS.keys())
def test_shards_share_what_is_one_and_have_the_rest_of_their_own(
    tmp_path: Path, default: list[Body], changes: dict[str, Any]
) -> None:
    """Each has a Deployment that selects only its own pods, a selector, a Lease, and a Role that names that Lease."""
    bodies = build(overlay(tmp_path, BUILDS["shards"], **changes))

    shared = [body["kind"] for body in default if body["kind"] not in {"Deployment", "Role", "RoleBinding"}]
    own = ["Deployment", "Role", "RoleBinding"] * 3
    assert sorted(body["kind"] for body in bodies) == sorted([*shared, *own])
    (account,) = [body["metadata"] for body in of_kind(bodies, "ServiceAccount")]
    settings = {}
    for deployment in of_kind(bodies, "Deployment"):
        labels = deployment["spec"]["selector"]["matchLabels"]
        spec, container = template(deployment)
        assert spec["serviceAccountName"] == account["name"]
        assert deployment["spec"]["template"]["metadata"]["labels"] == labels
        assert labels["app.kubernetes.io/name"] == "bek-operator"
        given = {one["name"].removeprefix("BEK_").lower().replace("_", "-"): one["value"] for one in container["env"]}
        shard = read_settings({**given, "lease-namespace": account["namespace"]}, in_pod=True)
        assert shard.lease
        settings[labels["app.kubernetes.io/instance"]] = (shard.watch_label_selector, shard.lease.name)
    assert settings == {
        "main": ("!bek.dev/shard", "bek-operator"),
        "shard1": ("bek.dev/shard=shard1", "bek-operator-shard1"),
        "shard2": ("bek.dev/shard=shard2", "bek-operator-shard2"),
    }
    leases = {body["metadata"]["name"]: body["rules"][1]["resourceNames"] for body in of_kind(bodies, "Role")}
    assert sorted(leases.values()) == [[lease] for _, lease in sorted(settings.values(), key=lambda one: one[1])]
    bindings = of_kind(bodies, "RoleBinding")
    assert {one["roleRef"]["name"] for one in bindings} == {*leases}
    assert [(one["subjects"][0]["namespace"], one["subjects"][0]["name"]) for one in bindings] == [
        (account["namespace"], account["name"])
    ] * 3


def test_a_component_stays_with_the_operator(tmp_path: Path, default: list[Body]) -> None:
    """Its objects are in the operator's namespace, though that is set where kustomize moves no component's objects."""
    names = ("high-availability", "monitoring", "network-policy")
    bodies = build(overlay(tmp_path, BUILDS["default"], components=[COMPONENTS / name for name in names]))

    shipped = {(body["kind"], body["metadata"]["name"]) for body in default}
    added = [body for body in bodies if (body["kind"], body["metadata"]["name"]) not in shipped]

    assert {body["kind"] for body in added} >= {"PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}
    assert {body["metadata"].get("namespace") for body in added} == {"bek-system"}


@pytest.mark.parametrize("name", BUILDS)
def test_high_availability_adds_the_spread_over_zones(tmp_path: Path, name: str) -> None:
    """Beside that over nodes, for every Deployment."""
    bodies = build(overlay(tmp_path, BUILDS[name], components=[COMPONENTS / "high-availability"]))

    spreads = [template(one)[0]["topologySpreadConstraints"] for one in of_kind(bodies, "Deployment")]
    assert [{one["topologyKey"] for one in spread} for spread in spreads] == [
        {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    ] * len(spreads)
    assert {tuple(one["matchLabelKeys"]) for spread in spreads for one in spread} == {("pod-template-hash",)}


@pytest.mark.parametrize("name", BUILDS)
def test_without_a_watch_the_operator_does_not_try_one(tmp_path: Path, name: str) -> None:
    """Every Deployment is told what the component takes from the role, under a prefix as well."""
    base = overlay(tmp_path / "base", BUILDS[name], namePrefix="eu-")
    bodies = build(overlay(tmp_path / "over", base, components=[COMPONENTS / "secret-get-only"]))

    rules = [rule for role in of_kind(bodies, "ClusterRole", "Role") for rule in role["rules"]]
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["get"]]
    told = [template(one)[1]["env"] for one in of_kind(bodies, "Deployment")]
    assert [{"name": "BEK_WATCH_SECRETS", "value": "off"} in env for env in told] == [True] * len(told)


def test_argo_cd_learns_the_health_in_whatever_namespace_it_is(tmp_path: Path) -> None:
    """The component finds the ConfigMap of an installation whose files name their namespace."""
    config_map = {"name": "argocd-cm", "namespace": "argocd", "options": {"disableNameSuffixHash": True}}
    argo = overlay(tmp_path / "argo", configMapGenerator=[config_map])

    (body,) = build(overlay(tmp_path / "over", argo, components=[COMPONENTS / "argocd"]))

    assert body["metadata"] == {"name": "argocd-cm", "namespace": "argocd"}
    assert "resource.customizations.health.bek.dev_BusinessEncryptionKey" in body["data"]


def test_the_container_has_the_ports_that_are_listened_on(default: list[Body]) -> None:
    """By default."""
    (deployment,) = of_kind(default, "Deployment")
    settings = read_settings({"lease-namespace": "bek-system"}, in_pod=True)

    ports = {port["name"]: port["containerPort"] for port in template(deployment)[1]["ports"]}
    assert ports == {"metrics": settings.metrics.port, "health": settings.health.port}


def test_the_container_runs_with_the_group_of_the_image(default: list[Body]) -> None:
    """The kubelet takes only the user from the image; containerd 1.6 refuses a group in the Pod's context."""
    (deployment,) = of_kind(default, "Deployment")
    pod, container = template(deployment)
    user = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)

    assert user == [("65532", str(container["securityContext"]["runAsGroup"]))]
    assert "runAsGroup" not in pod["securityContext"]


def test_kustomize_renames_secret_references(tmp_path: Path) -> None:
    """With the component, prefixes and generator suffixes apply to every reference to a Secret."""
    names = ["flows-key", "whatsapp-admin", "whatsapp-ca", "meta-token", "meta-app", "waba-api-keys", "flows-ca"]
    sample = yaml.safe_load((DEPLOY / "samples" / "every-api.yaml").read_text(encoding="utf-8"))
    (tmp_path / "key.yaml").write_text(yaml.safe_dump(sample), encoding="utf-8")
    folder = overlay(
        tmp_path,
        tmp_path / "key.yaml",
        components=[COMPONENTS / "secret-names"],
        namePrefix="eu-",
        secretGenerator=[{"name": name, "literals": ["entry=value"]} for name in names],
    )

    bodies = build(folder)

    made = {body["metadata"]["name"] for body in of_kind(bodies, "Secret")}
    (key,) = [body["spec"] for body in of_kind(bodies, "BusinessEncryptionKey")]
    assert set(_references(key)) == made
    assert all(re.fullmatch(rf"eu-({'|'.join(names)})-\w+", name) for name in made)


def _references(value: object) -> Iterator[str]:
    """Yield the names in every member that is called …SecretRef."""
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name.lower().endswith("secretref"):
                yield inner["name"]
            else:
                yield from _references(inner)
