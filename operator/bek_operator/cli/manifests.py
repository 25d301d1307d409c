"""Manifests of BusinessEncryptionKeys: a new one, and an existing one that gets more phone numbers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bek_operator.cluster.objects import GROUP, KIND, VERSION
from bek_operator.crd.types import EntryRef
from bek_operator.whatsapp.cloud.account import ListedNumber

MOST_BYTES = 4 * 1024 * 1024

NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What PyYAML raises for a text that cannot be parsed."""

_CLOUD = "Cloud"


class UnusableManifest(ValueError):
    """Why nothing can be added to a manifest, as a phrase that follows its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """What a new object is made of; an empty namespace is left out."""

    name: str
    namespace: str
    key_secret: str
    api: str
    token: EntryRef
    app_secret: EntryRef | None = None


@dataclass(frozen=True, slots=True)
class Addition:
    """A manifest with more numbers.

    Attributes:
        text: The whole manifest.
        added: The numbers that were not there.
        conflicts: What contradicts the numbers that were there, as sentences.
    """

    text: str
    added: tuple[ListedNumber, ...]
    conflicts: tuple[str, ...]


def manifest_of(new: NewObject, numbers: Sequence[ListedNumber]) -> str:
    """Return the manifest of a new object with these numbers."""
    cloud = {"tokenSecretRef": _entry_ref(new.token)}
    if new.app_secret:
        cloud["appSecretRef"] = _entry_ref(new.app_secret)
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": new.name} | ({"namespace": new.namespace} if new.namespace else {}),
        "spec": {
            "keySecretRef": {"name": new.key_secret},
            "apis": [{"name": new.api, "type": _CLOUD, "cloud": cloud}],
        },
    }
    lines = [line for number in numbers for line in _block(number, new.api, indent=2, gap=2)]
    return yaml.safe_dump(body, sort_keys=False) + "\n".join(("  phoneNumbers:", *lines, ""))


def with_numbers(text: str, numbers: Sequence[ListedNumber], api: str | None = None) -> Addition:
    """Add the numbers that are missing to the one BusinessEncryptionKey of a manifest, behind its last number.

    Lines are inserted and no other is touched, so comments, order and layout stay.

    Args:
        text: One or more YAML documents.
        numbers: All numbers of the account.
        api: The entry of `spec.apis` for new numbers; `None` if there is only one of type Cloud.

    Raises:
        UnusableManifest: it cannot be read, has no such object or API, or its numbers are no list in block style.
    """
    if len(text) > MOST_BYTES:
        raise UnusableManifest(f"is larger than {MOST_BYTES} bytes")
    try:
        bodies, roots = list(yaml.safe_load_all(text)), list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except NOT_YAML as error:
        raise UnusableManifest(not_yaml(error)) from None
    place = _place_of_the_object(bodies)
    spec = bodies[place]["spec"]
    api = _api_of(spec, api)
    listed = [one for one in spec.get("phoneNumbers") or () if isinstance(one, Mapping)]
    known = {str(one.get("phoneNumber")): str(one.get("phoneNumberID")) for one in listed}
    identities = {identity: number for number, identity in known.items()}
    missing = tuple(one for one in numbers if one.number not in known and one.identity not in identities)
    conflicts = tuple(_conflicts(numbers, known, identities))
    if not missing:
        return Addition(text, missing, conflicts)
    changed = _inserted(text, _member(_member(roots[place], "spec"), "phoneNumbers"), missing, api)
    bodies[place]["spec"]["phoneNumbers"] = [*listed, *(_as_data(one, api) for one in missing)]
    if changed is None or list(yaml.safe_load_all(changed)) != bodies:
        raise UnusableManifest(
            "has no `phoneNumbers` that are written line by line; add these by hand: "
            + ", ".join(json.dumps(_as_data(one, api)) for one in missing)
        )
    return Addition(changed, missing, conflicts)


def not_yaml(error: Exception) -> str:
    """Return what is wrong with a manifest that could not be parsed, as a phrase that follows its name."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f"is not YAML (line {mark.line + 1})" if mark else "is not YAML"


def _conflicts(
    numbers: Sequence[ListedNumber], known: Mapping[str, str], identities: Mapping[str, str]
) -> Iterator[str]:
    for one in numbers:
        if one.number in known and known[one.number] != one.identity:
            yield f"{one.number} is listed without the phoneNumberID {one.identity} that it has in this account"
        elif one.number not in known and one.identity in identities:
            yield f"{one.number} is listed as {identities[one.identity]}, with the same phoneNumberID {one.identity}"


def _place_of_the_object(bodies: Sequence[Any]) -> int:
    places = [place for place, body in enumerate(bodies) if isinstance(body, dict) and body.get("kind") == KIND]
    if len(places) != 1:
        raise UnusableManifest(f"must have one {KIND}; it has {len(places)}")
    if not isinstance(bodies[places[0]].get("spec"), dict):
        raise UnusableManifest("has no `spec`")
    return places[0]


def _api_of(spec: Mapping[str, Any], wanted: str | None) -> str:
    apis = [one for one in spec.get("apis") or () if isinstance(one, Mapping) and one.get("type") == _CLOUD]
    names = [str(one.get("name")) for one in apis]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        raise UnusableManifest(f"has {len(names)} entries of type {_CLOUD} in `apis`; name the numbers' one with --api")
    if wanted not in names:
        raise UnusableManifest(f"has no entry {wanted} of type {_CLOUD} in `apis`; add it first")
    return wanted


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _inserted(text: str, listed: yaml.Node | None, missing: Sequence[ListedNumber], api: str) -> str | None:
    """Insert entries behind a list's last one, in its style; return `None` if the list is not in block style."""
    if not isinstance(listed, yaml.SequenceNode) or listed.flow_style or not listed.value:
        return None
    last = listed.value[-1]
    indent = listed.start_mark.column
    gap = last.start_mark.column - indent
    one_line = isinstance(last, yaml.MappingNode) and last.flow_style
    form = _flow if one_line else _block
    lines = text.splitlines(keepends=True)
    end = _last_line(last) + 1
    newline = "\r\n" if lines[end - 1].endswith("\r\n") else "\n"
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += newline
    added = [line + newline for number in missing for line in form(number, api, indent=indent, gap=gap)]
    return "".join((*lines[:end], *added, *lines[end:]))


def _last_line(node: yaml.Node) -> int:
    """Return the line in which a node ends; the end of a block collection itself is behind following comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.line)


def _block(number: ListedNumber, api: str, *, indent: int, gap: int) -> Sequence[str]:
    first, *rest = _members(number, api)
    return [f"{' ' * indent}-{' ' * (gap - 1)}{first}", *(f"{' ' * (indent + gap)}{member}" for member in rest)]


def _flow(number: ListedNumber, api: str, *, indent: int, gap: int) -> Sequence[str]:
    return [f"{' ' * indent}-{' ' * (gap - 1)}{{{', '.join(_members(number, api))}}}"]


def _members(number: ListedNumber, api: str) -> Sequence[str]:
    return (
        f'phoneNumber: "{number.number}"',
        yaml.safe_dump({"api": api}).strip(),
        f'phoneNumberID: "{number.identity}"',
    )


def _as_data(number: ListedNumber, api: str) -> dict[str, str]:
    return {"phoneNumber": number.number, "api": api, "phoneNumberID": number.identity}


def _entry_ref(ref: EntryRef) -> dict[str, str | None]:
    return {"name": ref.secret, "key": ref.entry}
