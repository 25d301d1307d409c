"""The store of a test's API server, and what happens when it is full."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from support.cluster.servers import ApiServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def full(server: Path) -> Iterator[None]:
    """Have etcd refuse every write but deletions, as it does once its quota of space is used up.

    The alarm is the one that etcd raises itself then, so the API server answers what it would answer.
    https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota

    Args:
        server: The folder of the API server.
    """
    member = _call(server, "/v3/maintenance/status", {})["header"]["member_id"]
    alarm = {"memberID": member, "alarm": "NOSPACE"}
    _call(server, "/v3/maintenance/alarm", {**alarm, "action": "ACTIVATE"})
    try:
        yield
    finally:
        _call(server, "/v3/maintenance/alarm", {**alarm, "action": "DEACTIVATE"})


def _call(server: Path, path: str, body: dict[str, Any]) -> dict[str, Any]:
    with closing(_Connection(server / "etcd.sock")) as connection:
        connection.request("POST", path, body=json.dumps(body), headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != HTTPStatus.OK:
        raise ApiServerError(f"etcd: HTTP {answer.status} for {path}")
    found: dict[str, Any] = json.loads(content)
    return found


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
