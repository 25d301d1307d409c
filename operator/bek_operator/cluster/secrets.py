"""Secrets, one at a time and only read; the operator never writes to one."""

import base64
from dataclasses import dataclass, field

from bek_operator.cluster.client import Client, name_in_path, understood
from bek_operator.cluster.errors import NotFound


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A Secret's decoded entries at one resourceVersion."""

    version: str
    data: dict[str, bytes] = field(repr=False)


class SecretReader:
    """Reads Secrets by name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> SecretContent | None:
        """Return a Secret's content, `None` when there is no such Secret.

        Raises:
            ClusterError: the API server did not answer, or does not let us read it.
        """
        path = f"/api/v1/namespaces/{name_in_path(namespace)}/secrets/{name_in_path(name)}"
        try:
            body = await self._client.request("GET", path)
        except NotFound:
            return None
        with understood("a Secret"):
            data = {entry: _decoded(text) for entry, text in (body.get("data") or {}).items()}
            return SecretContent(body["metadata"]["resourceVersion"], data)


def _decoded(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except ValueError:  # the API server checks it; an entry that is not base64 is as good as empty
        return b""
