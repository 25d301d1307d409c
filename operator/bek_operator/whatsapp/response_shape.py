"""The shape of an unexpected response body, for the log: names of members, types and lengths, but no values."""

import json
import re
from itertools import islice
from typing import Any, Final

_MAX_LENGTH: Final = 500
_MAX_MEMBERS: Final = 12
_MAX_DEPTH: Final = 3
# The server chooses the names of members, too: nothing that could be a token is repeated.
_NAME: Final = re.compile(r"[A-Za-z_-]{1,32}")


def shape_of(body: bytes) -> str:
    """Return the shape of a body in at most 500 characters, such as `27 bytes, {meta: {success: bool}}`."""
    size = f"{len(body)} bytes"
    if not body.strip():
        return f"{size}, blank"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return f"{size}, markup" if body.lstrip().startswith(b"<") else f"{size}, no JSON"
    shape = f"{size}, {_shape(document, _MAX_DEPTH)}"
    return shape if len(shape) <= _MAX_LENGTH else f"{shape[: _MAX_LENGTH - 1]}…"


def _shape(value: Any, depth: int) -> str:
    match value:
        case str():
            return f"text({len(value)})"
        case list():
            items = ", ".join(_shape(item, depth - 1) for item in value[:1]) if depth else ""
            return f"list({len(value)})[{items}]" if items else f"list({len(value)})"
        case dict():
            if not depth:
                return f"object({len(value)})"
            members = ", ".join(
                f"{_name(name)}: {_shape(member, depth - 1)}" for name, member in islice(value.items(), _MAX_MEMBERS)
            )
            return f"{{{members}{', …' if len(value) > _MAX_MEMBERS else ''}}}"
        case None:
            return "null"
        case _:
            return "number" if isinstance(value, float) else type(value).__name__


def _name(name: str) -> str:
    return name if _NAME.fullmatch(name) else f"name({len(name)})"
