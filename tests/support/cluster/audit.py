"""The audit log of a kube-apiserver: every finished request, its user, verb and object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

_CREDENTIAL = "authentication.kubernetes.io/credential-id"

# One event for each request, when it is over; a watch has another one when it begins.
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit log, without bodies; `credential` tells the tokens of one user apart."""

    user: str
    credential: str
    user_agent: str
    verb: str
    uri: str
    resource: str  # plural name, "" where the request is for none
    subresource: str
    namespace: str
    name: str
    code: int
    stage: str

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Return the event that one line describes."""
        event: dict[str, Any] = json.loads(line)
        target = event.get("objectRef", {})
        return cls(
            user=event["user"].get("username", ""),
            credential=event["user"].get("extra", {}).get(_CREDENTIAL, [""])[0].removeprefix("JTI="),
            user_agent=event.get("userAgent", ""),
            verb=event["verb"],
            uri=event["requestURI"],
            resource=target.get("resource", ""),
            subresource=target.get("subresource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            stage=event["stage"],
        )

    @property
    def is_write(self) -> bool:
        """Whether the request asked for a change, granted or not."""
        return self.verb in WRITES

    @property
    def is_refused(self) -> bool:
        """Whether the user had no permission."""
        return self.code in {401, 403}


def read_events(log: Path, since: int = 0) -> list[AuditEvent]:
    """Return the events of the complete lines from an offset on."""
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().splitlines(keepends=True)
    return [AuditEvent.parse(line) for line in lines if line.endswith(b"\n")]


def end_of(log: Path) -> int:
    """Return the offset behind the last line, to read from there later."""
    return log.stat().st_size
