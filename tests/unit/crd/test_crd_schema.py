"""The CRD keeps the house rules, most of which are the Kubernetes API conventions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from bek_operator.crd.reasons import EndpointReason, ObjectReason, Reason
from support.cluster.crd import CRD_FILE, CRD_FOLDER, CRD_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAMEL_CASE = re.compile(r"[a-z][a-z0-9]*([A-Z]+[a-z0-9]*)*")
# The server replaces what is said of the one, and lets nothing be said of the other.
META_FIELDS = {"apiVersion", "kind", "metadata"}


class Field(NamedTuple):
    """One field of the schema, and where it is."""

    path: str
    name: str
    schema: dict[str, Any]

    @property
    def in_spec(self) -> bool:
        """Whether users write it."""
        return self.path.startswith("spec.")

    @property
    def in_list_item(self) -> bool:
        """Whether it belongs to an entry of a list."""
        return "[]" in self.path


def fields_of(schema: dict[str, Any], prefix: str = "") -> Iterator[Field]:
    """Walk through all fields below a schema, those of list entries too."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield Field(path, name, field)
        yield from fields_of(field, f"{path}.")
        yield from fields_of(field.get("items", {}), f"{path}[].")


def nodes_of(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk through all schemas, those of list entries too."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes_of(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes_of(schema["items"], f"{path}[]")


CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text())
[VERSION] = CRD["spec"]["versions"]
ROOT: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]
FIELDS = list(fields_of(ROOT))
NODES = list(nodes_of(ROOT))
BY_PATH = {field.path: field for field in FIELDS}
RULES = [(path, rule) for path, node in NODES for rule in node.get("x-kubernetes-validations", ())]


def paths_where(broken: Callable[[Field], object]) -> list[str]:
    """Return the paths of the fields that break a rule."""
    return [field.path for field in FIELDS if broken(field)]


def test_names_are_those_that_users_type() -> None:
    """Group, kind, short name and category are as documented, and `kubectl delete all` spares the keys."""
    names = CRD["spec"]["names"]
    assert CRD["metadata"]["name"] == CRD_NAME == f"{names['plural']}.{CRD['spec']['group']}"
    assert (names["kind"], names["shortNames"], CRD["spec"]["scope"]) == (
        "BusinessEncryptionKey",
        ["bek"],
        "Namespaced",
    )
    assert names["categories"]
    assert "all" not in names["categories"]


def test_there_is_one_version_with_a_status_of_its_own() -> None:
    """The only version is served and stored, and its status is written apart from its spec."""
    assert (VERSION["name"], VERSION["served"], VERSION["storage"]) == ("v1alpha1", True, True)
    assert VERSION["subresources"] == {"status": {}}


def test_no_tool_deletes_the_definition_in_passing() -> None:
    """Argo CD, Flux and Helm are all told to keep the CRD, since its deletion deletes every object."""
    assert CRD["metadata"]["annotations"] == {
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
        "helm.sh/resource-policy": "keep",
    }


def test_folder_is_a_kustomization() -> None:
    """The folder can be applied by itself, and referred to by other kustomizations."""
    kustomization = yaml.safe_load((CRD_FOLDER / "kustomization.yaml").read_text())
    assert kustomization["resources"] == [CRD_FILE.name]


def test_every_field_is_described_beginning_with_its_name() -> None:
    """`kubectl explain` has a sentence for each field, which begins with the name as it is typed."""

    def is_bad(field: Field) -> bool:
        text = field.schema.get("description", "")
        starts = re.match(rf"{field.name} [a-z]", text)
        return field.name != "metadata" and not (starts and text.endswith(".") and "\n" not in text)

    assert ROOT["description"].startswith("BusinessEncryptionKey ")
    assert paths_where(is_bad) == []


def test_everything_is_bounded() -> None:
    """Strings, numbers and lists all have a limit, and there are no maps of unknown keys."""

    def is_unbounded(schema: dict[str, Any]) -> bool:
        match schema["type"]:
            case "string":
                return not ("maxLength" in schema or "enum" in schema or schema.get("format") == "date-time")
            case "integer":
                return "minimum" not in schema or "maximum" not in schema
            case "array":
                return "maxItems" not in schema
            case "object":
                return "properties" not in schema or "additionalProperties" in schema
            case _:
                return False

    assert [path for path, node in NODES if is_unbounded(node) and path != ".metadata"] == []


def test_types_are_plain() -> None:
    """There are no floats, no nullable and no free-form fields, and every integer says its width."""
    plain = {"object", "array", "string", "integer", "boolean"}
    loose = {"nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"}
    assert [path for path, node in NODES if node["type"] not in plain or loose & node.keys()] == []
    assert (
        paths_where(
            lambda field: field.schema["type"] == "integer" and field.schema.get("format") not in {"int32", "int64"}
        )
        == []
    )


def test_every_list_declares_how_it_is_merged() -> None:
    """Lists are maps with required keys, except those of the status, which have one writer."""
    lists = [field for field in FIELDS if field.schema["type"] == "array"]
    atomic = [field.path for field in lists if field.schema["x-kubernetes-list-type"] == "atomic"]
    assert sorted(atomic) == ["status.phoneNumbers", "status.phoneNumbers[].earlierPublishes"]
    for field in lists:
        if field.schema["items"]["type"] != "object":
            continue
        required = field.schema["items"]["required"]
        assert set(field.schema.get("x-kubernetes-list-map-keys", ())) <= set(required), field.path
        assert required, field.path


def test_names_of_fields_follow_the_conventions() -> None:
    """Fields are in camel case, references end in `Ref`, and nothing is a phase or a timestamp."""
    banned = re.compile("phase|Phase|Timestamp|Reference|[dD]uration|Ms$|Secs$")
    assert paths_where(lambda field: not CAMEL_CASE.fullmatch(field.name) or banned.search(field.name)) == []
    references = [field for field in FIELDS if field.name.endswith("Ref")]
    assert references
    for field in references:
        assert field.schema["type"] == "object", field.path
        assert set(field.schema["properties"]) <= {"name", "key", "passphraseKey"}, field.path
        assert "name" in field.schema["required"], field.path


def test_times_are_called_times() -> None:
    """A field ends in `Time` exactly when it holds a date and time."""
    assert paths_where(lambda field: field.name.endswith("Time") != (field.schema.get("format") == "date-time")) == []


def test_defaults_are_few_and_never_inside_a_list() -> None:
    """Only direct fields of the spec have defaults, since those in list entries upset GitOps diffs."""
    assert {field.path: field.schema["default"] for field in FIELDS if "default" in field.schema} == {
        "spec.publishPolicy": "IfNeeded",
        "spec.suspend": False,
        "status": {"observedGeneration": -1},
    }


def test_what_is_required_has_no_default() -> None:
    """A field is either required or has a default."""
    for path, node in NODES:
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"


def test_owners_can_apply_parts_of_a_spec() -> None:
    """No field of the spec is required by the schema; rules ask for the three that are needed."""
    spec = BY_PATH["spec"].schema
    assert "required" not in spec
    asked_for = {rule["fieldPath"] for rule in spec["x-kubernetes-validations"] if "Required" in rule.get("reason", "")}
    assert {".keySecretRef", ".apis", ".phoneNumbers"} <= asked_for


def test_enums_are_the_users_only_and_say_that_they_may_grow() -> None:
    """An older CRD refuses no new word in a status, and clients are told to expect new ones in a spec."""
    enums = {field.path: field.schema for field in FIELDS if "enum" in field.schema}
    assert {path: schema["enum"] for path, schema in enums.items()} == {
        "spec.apis[].type": ["OnPremises", "Cloud", "Provider"],
        "spec.publishPolicy": ["IfNeeded", "Never"],
        "spec.rollout.type": ["FirstNumber", "AllAtOnce"],
        "spec.flowsEndpoint.policy": ["Gate", "Report"],
    }
    assert all("Values may be added" in schema["description"] for schema in enums.values())


def test_conditions_have_the_standard_form() -> None:
    """Conditions come first, are a map by type, and have the fields that every tool expects."""
    status = BY_PATH["status"].schema["properties"]
    assert next(iter(status)) == "conditions"
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    item = status["conditions"]["items"]
    assert item["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]
    assert set(item["properties"]) == {*item["required"], "observedGeneration"}
    assert item["properties"]["reason"]["minLength"] == 1
    assert "minLength" not in item["properties"]["message"]


def test_status_has_the_documented_fields() -> None:
    """The status and its rows hold exactly what is documented."""
    assert set(BY_PATH["status"].schema["properties"]) == {
        "conditions",
        "observedGeneration",
        "publicKeyFingerprint",
        "keyID",
        "desiredNumbers",
        "signedNumbers",
        "signed",
        "phoneNumbers",
        "flowsEndpoint",
        "lastHandledReconcileAt",
        "startedReconcileAt",
    }
    assert set(BY_PATH["status.phoneNumbers"].schema["items"]["properties"]) == {
        "phoneNumber",
        "api",
        "signatureStatus",
        "reason",
        "message",
        "observedFingerprint",
        "lastPublishTime",
        "publishes",
        "earlierPublishes",
        "lost",
        "refusedPublishes",
    }


def test_status_has_a_row_for_every_number() -> None:
    """The status has room for as many numbers as a spec may list."""
    most = BY_PATH["spec.phoneNumbers"].schema["maxItems"]
    assert BY_PATH["status.phoneNumbers"].schema["maxItems"] == most
    assert BY_PATH["status.desiredNumbers"].schema["maximum"] == most
    assert BY_PATH["status.signedNumbers"].schema["maximum"] == most


@pytest.mark.parametrize("reason", [*Reason, *ObjectReason, *EndpointReason])
def test_reasons_of_the_operator_fit_in(reason: str) -> None:
    """Every reason that the operator knows has the form that the schema asks for."""
    places = ["status.conditions[].reason"]
    if reason not in list(ObjectReason):
        places.append("status.flowsEndpoint.reason")
    if reason in list(Reason):
        places.append("status.phoneNumbers[].reason")
    for place in places:
        schema = BY_PATH[place].schema
        assert re.search(schema["pattern"], reason), place
        assert len(reason) <= schema["maxLength"], place


def test_patterns_match_whole_values() -> None:
    """Every pattern is held at both ends."""
    assert paths_where(lambda field: not re.fullmatch(r"\^.*\$", field.schema.get("pattern", "^$"))) == []


@pytest.mark.parametrize(("path", "rule"), RULES)
def test_rules_say_what_is_allowed(path: str, rule: dict[str, Any]) -> None:
    """A refusal tells in one line what must be, also where the longer message can't be made."""
    assert "must" in rule["message"], path
    assert "\n" not in rule["message"], path
    assert not rule["message"].endswith("."), path
    assert "oldSelf" not in rule["rule"], path
    if "messageExpression" in rule:
        assert rule["message"] in rule["messageExpression"], path


def test_rules_keep_to_what_the_oldest_server_knows() -> None:
    """The rules use no function that came after Kubernetes 1.32, which 1.33 holds new rules to."""
    later = re.compile(r"\.(distinct|flatten|sort|sortBy|slice|reverse|first|last)\(|lists\.range|semver")
    assert [path for path, rule in RULES if later.search(rule["rule"] + rule.get("messageExpression", ""))] == []


def test_columns_are_the_documented_ones() -> None:
    """`kubectl get` shows four columns and `-o wide` four more, and none of them is empty by a typing error."""
    columns = VERSION["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == ["Ready", "Signed", "Reason", "Age"]
    wide = [column["name"] for column in columns if column.get("priority") == 1]
    assert wide == ["Key", "Secret", "Suspended", "Message"]
    for column in columns:
        path = re.sub(r"\[\?\(@\.type==\"Ready\"\)\]", "[]", column["jsonPath"]).removeprefix(".")
        assert path in {*BY_PATH, "metadata.creationTimestamp"}, column["name"]


def test_objects_can_be_selected_by_plain_fields() -> None:
    """What `--field-selector` may name is there, not in a list, and a word or a yes and no."""
    selectable = [BY_PATH[entry["jsonPath"].removeprefix(".")] for entry in VERSION["selectableFields"]]
    assert "spec.keySecretRef.name" in [field.path for field in selectable]
    assert all(field.schema["type"] in {"string", "boolean"} and not field.in_list_item for field in selectable)
