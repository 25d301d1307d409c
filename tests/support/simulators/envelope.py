"""The error envelope of the On-Premises API, and its documented codes."""

from collections.abc import Mapping

from support.simulators.exchange import Reply

VERSION = "v2.53.3"
"""The client version in answers, by default."""

TITLES: Mapping[int, str] = {
    429: "Rate limit hit",
    430: "Unsigned certificate",
    432: "Certificate id mismatch",
    433: "Identity signature invalid",
    1000: "Generic error",
    1004: "Resource already exists",
    1005: "Access denied",
    1006: "Resource not found",
    1008: "Required parameter is missing",
    1009: "Parameter value is not valid",
    1010: "Parameter is not required",
    1011: "Service not ready",
    1013: "User is not valid",
    1014: "Internal error",
    1015: "Too many requests",
    1016: "System overloaded",
    1017: "Not primary master",
    1018: "Not primary coreapp",
    1021: "Bad user",
    1022: "Webhook URL not configured",
    1023: "Database error",
    1024: "Password change required",
    1025: "Request not valid",
    1031: "Account locked",
}

STATUSES: Mapping[int, int] = {
    429: 429,
    1000: 500,
    1005: 401,
    1006: 404,
    1011: 503,
    1014: 500,
    1015: 429,
    1016: 503,
    1017: 503,
    1018: 503,
    1023: 500,
    1024: 403,
    1031: 403,
}
"""Plausible HTTP statuses; the API documents none. Codes that are not listed come with 400."""


def meta(version: str = VERSION) -> dict[str, object]:
    """Return the member that every answer of the API carries."""
    return {"meta": {"api_status": "stable", "version": version}}


def error(
    code: int,
    details: str | None = None,
    *,
    status: int | None = None,
    version: str = VERSION,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Make the API's answer for an error code."""
    member: dict[str, object] = {"code": code, "title": TITLES.get(code, "Unknown error")}
    if details is not None:
        member["details"] = details
    return Reply.json({"errors": [member], **meta(version)}, status or STATUSES.get(code, 400), headers)


class Refusal(Exception):
    """The API refuses a request with one of its codes."""

    def __init__(self, code: int, details: str, status: int | None = None) -> None:
        super().__init__(code, details)
        self._code = code
        self._details = details
        self._status = status

    def reply(self, version: str) -> Reply:
        """Make the answer."""
        return error(self._code, self._details, status=self._status, version=version)
