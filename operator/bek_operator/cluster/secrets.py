"""Reads single Secrets; the operator never writes to one."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Final

from bek_operator.cluster.client import Client, name_in_path, validating
from bek_operator.cluster.errors import NotFound
from bek_operator.crd.fields import objects, typed

MOST_WRITERS: Final = 4
_MOST_OTHERS: Final = 5
"""A message names four entries of a Secret, and says whether there are more."""

_MANAGER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,62}")


@dataclass(frozen=True, slots=True)
class SecretContent:
    """The wanted entries of a Secret at one resourceVersion, and the field managers that own entries of it.

    Attributes:
        data: The decoded entries. Some that nobody wants are there by their names alone, for messages.
    """

    version: str
    data: dict[str, bytes] = field(repr=False)
    writers: tuple[str, ...] = ()


class SecretReader:
    """Reads Secrets by name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, namespace: str, name: str, wanted: Mapping[str, int]) -> SecretContent | None:
        """Return a Secret's content; `None` when it does not exist.

        `wanted`: the entries to return, and how many bytes of each are of use; a longer one is cut after one more.

        Raises:
            ClusterError: the request failed; `Forbidden` when RBAC forbids it.
        """
        path = f"/api/v1/namespaces/{name_in_path(namespace)}/secrets/{name_in_path(name)}"
        try:
            body = await self._client.request("GET", path)
        except NotFound:
            return None
        with validating("a Secret"):
            found = body.get("data") or {}
            others = nsmallest(_MOST_OTHERS, (entry for entry in found if entry not in wanted))
            data = {entry: _decoded(found[entry], most) for entry, most in wanted.items() if entry in found}
            data |= dict.fromkeys(others, b"")
            metadata = body["metadata"]
            return SecretContent(metadata["resourceVersion"], data, _writers(metadata.get("managedFields")))


def _writers(managed: object) -> tuple[str, ...]:
    """Return the field managers that own entries; names that are not safe to show are left out.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
    """
    names = [
        typed(one.get("manager"), str) or ""
        for one in objects(managed)
        if isinstance(fields := one.get("fieldsV1"), Mapping) and "f:data" in fields
    ]
    return tuple(dict.fromkeys(name for name in names if _MANAGER_NAME.fullmatch(name)))[:MOST_WRITERS]


def _decoded(text: str | None, most: int) -> bytes:
    """Return an entry's bytes, `most` and one more of a longer one."""
    try:
        # Three bytes are four characters.
        return base64.b64decode((text or "")[: (most // 3 + 1) * 4], validate=True)[: most + 1]
    except ValueError:  # cannot happen: the API server validates base64
        return b""
