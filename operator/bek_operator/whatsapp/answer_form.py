"""The form of an answer that was not understood, for the log: names, types and lengths, and none of its words."""

import json
import re
from itertools import islice
from typing import Any, Final

_LONGEST: Final = 500
_MOST_MEMBERS: Final = 12
_DEPTH: Final = 3
# Names of members are written by the server as well; nothing that could be a token is repeated.
_NAME: Final = re.compile(r"[A-Za-z_-]{1,32}")


def form_of_answer(body: bytes) -> str:
    """Return of which form a body is, in up to 500 characters: `{"meta": {…}}` is told as `{meta: {…}}`."""
    size = f"{len(body)} bytes"
    if not body.strip():
        return f"{size}, blank"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return f"{size}, markup" if body.lstrip().startswith(b"<") else f"{size}, no JSON"
    form = f"{size}, {_form(document, _DEPTH)}"
    return form if len(form) <= _LONGEST else f"{form[: _LONGEST - 1]}…"


def _form(value: Any, depth: int) -> str:
    match value:
        case str():
            return f"text({len(value)})"
        case list():
            items = ", ".join(_form(item, depth - 1) for item in value[:1]) if depth else ""
            return f"list({len(value)})[{items}]" if items else f"list({len(value)})"
        case dict():
            if not depth:
                return f"object({len(value)})"
            members = ", ".join(
                f"{_name(name)}: {_form(member, depth - 1)}" for name, member in islice(value.items(), _MOST_MEMBERS)
            )
            return f"{{{members}{', …' if len(value) > _MOST_MEMBERS else ''}}}"
        case None:
            return "null"
        case _:
            return "number" if isinstance(value, float) else type(value).__name__


def _name(name: str) -> str:
    return name if _NAME.fullmatch(name) else f"name({len(name)})"
