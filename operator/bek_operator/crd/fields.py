"""Reads untrusted JSON field by field; errors name the field."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T", str, int, bool)

_KINDS = {str: "a string", int: "an integer", bool: "true or false"}


class Malformed(ValueError):
    """A field is missing or invalid; the message names it and says what is required."""


class Fields:
    """A JSON object; `path` is its place in the document, for messages."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise Malformed(f"`{path}` must be an object")
        self._values: Mapping[str, Any] = value
        self._path = path

    def get(self, name: str, kind: type[T]) -> T | None:
        """Return a field of exactly this type; null counts as absent."""
        value = self._values.get(name)
        if value is None:
            return None
        found = typed(value, kind)
        if found is None:
            raise Malformed(f"`{self._at(name)}` must be {_KINDS[kind]}")
        return found

    def text(self, name: str, longest: int) -> str:
        """Return a required string."""
        text = self.optional_text(name, longest)
        if text is None:
            raise Malformed(f"`{self._at(name)}` must be set")
        return text

    def optional_text(self, name: str, longest: int) -> str | None:
        """Return an optional string; an empty one counts as absent."""
        text = self.get(name, str)
        if text and len(text) > longest:
            raise Malformed(f"`{self._at(name)}` must have at most {longest} characters")
        return text or None

    def part(self, name: str) -> "Fields":
        """Return a required object."""
        part = self.optional_part(name)
        if part is None:
            raise Malformed(f"`{self._at(name)}` must be set")
        return part

    def optional_part(self, name: str) -> "Fields | None":
        """Return an optional object."""
        value = self._values.get(name)
        return None if value is None else Fields(value, self._at(name))

    def parts(self, name: str) -> list["Fields"]:
        """Return a list of at least one object."""
        value = self._values.get(name)
        if not isinstance(value, list) or not value:
            raise Malformed(f"`{self._at(name)}` must have at least one entry")
        return [Fields(part, f"{self._at(name)}[{index}]") for index, part in enumerate(value)]

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def typed(value: object, kind: type[T]) -> T | None:
    """Return the value if it has exactly this type (true is not a number), otherwise `None`."""
    return value if type(value) is kind else None


def objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list, without other entries."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
