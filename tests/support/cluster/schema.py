"""Check a status against the CRD's schema, as the API server does."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from bek_operator.times import instant
from support.cluster.crd import CRD_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def status_faults(status: Mapping[str, Any]) -> list[str]:
    """Return what the API server would refuse in a status, or silently drop."""
    return list(_faults(status, _status_schema(), "status"))


@cache
def _status_schema() -> Mapping[str, Any]:
    crd = yaml.safe_load(CRD_FILE.read_text())
    schema: Mapping[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return schema


def _faults(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if type(value) is not _KINDS[schema["type"]]:
        yield f"{path} is {value!r}, not of type {schema['type']}"
    elif isinstance(value, dict):
        properties = schema["properties"]
        yield from (f"{path}.{name} is not in the schema" for name in value if name not in properties)
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name in value.keys() & properties.keys():
            yield from _faults(value[name], properties[name], f"{path}.{name}")
    elif isinstance(value, list):
        if len(value) > schema["maxItems"]:
            yield f"{path} is too long"
        for index, item in enumerate(value):
            yield from _faults(item, schema["items"], f"{path}[{index}]")
    elif isinstance(value, str):
        yield from _text_faults(value, schema, path)
    elif not schema["minimum"] <= value <= schema["maximum"]:
        yield f"{path} is {value}, beyond its bounds"


def _text_faults(text: str, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if schema.get("format") == "date-time":
        if instant(text) is None:
            yield f"{path} is {text!r}, not a time"
    elif not schema.get("minLength", 0) <= len(text) <= schema["maxLength"]:
        yield f"{path} has {len(text)} characters"
    elif not re.search(schema.get("pattern", ""), text):
        yield f"{path} is {text!r}, not of its pattern"
