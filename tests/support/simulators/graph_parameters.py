"""The parameters of a call to the Graph API, wherever they stand."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Literal
from urllib.parse import parse_qsl

from support.simulators.call import Call
from support.simulators.graph_errors import GraphRefusal, graph_error

Encoding = Literal["form", "multipart", "json", "query"]
ENCODINGS: frozenset[Encoding] = frozenset({"form", "multipart", "json", "query"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One of them, and where it stands."""

    name: str
    value: str
    encoding: Encoding


def parameters(call: Call, accepts: Iterable[Encoding] = ENCODINGS) -> list[Parameter]:
    """Find all parameters of a call; a body of a kind that is not accepted, or of none, has no parameters.

    Raises:
        GraphRefusal: the body is not what its content type says.
    """
    found = [Parameter(name=name, value=value, encoding="query") for name, value in in_query(call)]
    read = _BODIES.get(call.content_type)
    if read is not None and call.body:
        try:
            pairs = read[1](call)
        except (ValueError, RecursionError) as cause:
            raise GraphRefusal(graph_error(100, "The body cannot be read")) from cause
        found += [Parameter(name=name, value=value, encoding=read[0]) for name, value in pairs]
    return [parameter for parameter in found if parameter.encoding in accepts]


def in_query(call: Call) -> list[tuple[str, str]]:
    """Find the parameters in the query."""
    return parse_qsl(call.query, keep_blank_values=True, errors="replace")


def _form(call: Call) -> list[tuple[str, str]]:
    return parse_qsl(
        (call.body or b"").decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=10,
    )


def _json(call: Call) -> list[tuple[str, str]]:
    document = json.loads(call.body or b"")
    members = document.items() if isinstance(document, dict) else ()
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in members]


def _multipart(call: Call) -> list[tuple[str, str]]:
    head = f"Content-Type: {call.headers['content-type']}\r\n\r\n".encode()
    message: Message = BytesParser(policy=HTTP).parsebytes(head + (call.body or b""))
    if not message.is_multipart():
        raise ValueError("no boundary")
    found: list[tuple[str, str]] = []
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found.append((name, content.decode()))
    return found


_BODIES: Mapping[str, tuple[Encoding, Callable[[Call], list[tuple[str, str]]]]] = {
    "application/x-www-form-urlencoded": ("form", _form),
    "application/json": ("json", _json),
    "multipart/form-data": ("multipart", _multipart),
}
