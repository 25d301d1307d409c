"""What an answer of the API server that is no success means."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from bek_operator.cluster.errors import (
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    NotServed,
    Unauthorized,
    Unavailable,
)

_ERRORS: Final[Mapping[int, type[ClusterError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotServed,
    409: Conflict,
    410: Gone,
}
_REFUSALS: Final = frozenset({400, 409, 422})
"""Statuses that are about what was sent."""


def error_of(method: str, path: str, status: int, content: bytes) -> ClusterError:
    """Return the error that an answer is; 404 means that an object does not exist only where the answer names it."""
    body = _parsed(content)
    kind = NotFound if status == HTTPStatus.NOT_FOUND and _is_missing(body, path) else _ERRORS.get(status, Unavailable)
    error = kind(f"{method} {path}: HTTP {status}")
    message = body.get("message")
    if status in _REFUSALS and isinstance(message, str):
        error.reply = message
    return error


def _is_missing(status: Mapping[str, Any], path: str) -> bool:
    """Return whether a Status says of the very object of a request that it does not exist.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    details = status.get("details")
    if (status.get("kind"), status.get("reason")) != ("Status", "NotFound") or not isinstance(details, dict):
        return False
    object_path = f"/{details.get('kind')}/{quote(str(details.get('name')), safe='')}"
    return path.removesuffix("/status").endswith(object_path)


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
