"""Which changes of a CustomResourceDefinition could refuse or lose what the previous one took.

The rules are those of the Kubernetes API's own changes:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api_changes.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_RULES: Final = "x-kubernetes-validations"
_HARMLESS: Final = frozenset({"description", "title", "example", "externalDocs"})
_LOOKED_INTO: Final = frozenset({"properties", "items", "additionalProperties", _RULES})


def incompatible_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what could refuse or lose an object that the old definition took, each with its path."""
    before, after = old["spec"], new["spec"]
    found = [f"{name} is not the same" for name in ("group", "scope") if before[name] != after[name]]
    names = {name: one for name, one in before["names"].items() if after["names"].get(name) != one}
    found += [f"names.{name} is not the same" for name in names if name not in {"shortNames", "categories"}]
    found += [
        f"names.{name} lacks {one}"
        for name in ("shortNames", "categories")
        for one in before["names"].get(name, ())
        if one not in after["names"].get(name, ())
    ]
    served = {version["name"]: version for version in after["versions"] if version["served"]}
    for version in before["versions"]:
        if not version["served"]:
            continue
        if version["name"] not in served:
            found.append(f"{version['name']} is not served any more")
            continue
        found += _of_version(version, served[version["name"]])
    return found


def _of_version(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    selectable = [one["jsonPath"] for one in new.get("selectableFields", ())]
    for field in old.get("selectableFields", ()):
        if field["jsonPath"] not in selectable:
            yield f"{field['jsonPath']}: cannot be selected any more"
    yield from _of_schema(old["schema"]["openAPIV3Schema"], new["schema"]["openAPIV3Schema"], "")


def _of_schema(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    for keyword in sorted({*old, *new} - _HARMLESS - _LOOKED_INTO):
        before, after = old.get(keyword), new.get(keyword)
        if before != after and not _LOOSER.get(keyword, _never)(before, after):
            yield f"{path or '.'}: {keyword} was {_shown(before)} and is {_shown(after)}"
    yield from _of_rules(old, new, path)
    yield from _of_nested(old, new, path)


def _of_rules(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the rules that are new, but for those about a field that is new as well."""
    known = [one["rule"] for one in old.get(_RULES, ())]
    fields = set(new.get("properties", ())) - set(old.get("properties", ()))
    for rule in (one["rule"] for one in new.get(_RULES, ())):
        if rule not in known and not any(name in rule for name in fields):
            yield f"{path or '.'}: a rule is new: {_shown(rule)}"


def _of_nested(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    properties = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        if name in properties:
            yield from _of_schema(schema, properties[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: removed"
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        before, after = old.get(keyword), new.get(keyword)
        if before and after:
            yield from _of_schema(before, after, path + suffix)
        elif before != after:
            yield f"{path}: {keyword} was {'there' if before else 'not there'}"


def _never(before: Any, after: Any) -> bool:
    del before, after
    return False


def _raised(before: Any, after: Any) -> bool:
    return after is None or (before is not None and after >= before)


def _lowered(before: Any, after: Any) -> bool:
    return after is None or (before is not None and after <= before)


def _gone(before: Any, after: Any) -> bool:
    del before
    return after is None


def _more_values(before: Any, after: Any) -> bool:
    return after is None or (before is not None and set(before) <= set(after))


def _fewer_names(before: Any, after: Any) -> bool:
    return set(after or ()) <= set(before or ())


_LOOSER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys(_UPPER, _raised),
    **dict.fromkeys(_LOWER, _lowered),
    "pattern": _gone,
    "enum": _more_values,
    "required": _fewer_names,
}
"""Whether a change of a keyword admits everything that was admitted. Every other keyword must stay as it is."""


def _shown(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
