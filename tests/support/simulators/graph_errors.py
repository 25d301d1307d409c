"""The error envelope of the Graph API, its documented codes, and a fault that answers with any of them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aiohttp import web

from support.simulators.exchange import Exchange, Reply

CONTENT_TYPE = "application/json; charset=UTF-8"

MESSAGES: Mapping[int, str] = {
    0: "We were unable to authenticate the app user",
    1: "An unknown error has occurred",
    2: "Service temporarily unavailable",
    3: "Capability or permissions issue",
    4: "Application request limit reached",
    10: "Application does not have permission for this action",
    33: "The business phone number has been deleted",
    100: "Invalid parameter",
    104: "An access token is required to request this resource",
    190: "Access token has expired or is invalid",
    200: "Permissions error",
    299: "Permissions error",
    368: "Temporarily blocked for policies violations",
    803: "Some of the aliases you requested do not exist",
    2500: "Unknown path components",
    2635: "You are calling a deprecated version of the API",
    80000: "There have been too many calls from this ad-account",
    80007: "Rate limit issues",
    80008: "There have been too many calls to this WhatsApp Business account",
    80014: "There have been too many calls for the batch uploads to this catalog account",
    130429: "Rate limit hit",
    130497: "Business account is restricted from messaging users in this country",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131031: "Account has been locked",
    131045: "Incorrect certificate",
    131057: "Account in maintenance mode",
    132068: "Flow is blocked",
    132069: "Flow is throttled",
    133000: "Deregister failed",
    133004: "Server temporarily unavailable",
    133005: "Two step verification PIN mismatch",
    133006: "Phone number re-verification needed",
    133008: "Too many two step verification PIN guesses",
    133009: "Two step verification PIN guessed too fast",
    133010: "Phone number not registered",
    133015: "Please wait a few minutes before attempting to register this phone number",
    133016: "Account register deregister rate limit exceeded",
    139000: "Blocked by integrity",
    139001: "Flow can't be updated",
    139002: "Publishing failed",
    139003: "Can't deprecate unpublished flow",
    139004: "Can't delete published flow",
    139006: "Flow can't be migrated",
    2494100: "The number is in maintenance mode",
}

STATUSES: Mapping[int, int] = {
    0: 401,
    2: 503,
    3: 500,
    4: 429,
    10: 403,
    190: 401,
    368: 403,
    803: 404,
    130497: 403,
    131000: 500,
    131005: 403,
    131016: 500,
    131031: 403,
    131045: 500,
    131057: 500,
    133000: 500,
    133004: 503,
    2494100: 500,
}
"""The documented HTTP statuses that are not 400; that of 2494100 is a guess. 200 to 299 come with 403."""

TRANSIENT = frozenset({2, 4})
"""Codes whose documented examples say `is_transient`."""

SHAPES: Mapping[str, str] = {
    "data of null": '{"data": null}',
    "data of text": '{"data": "VALID"}',
    "item of null": '{"data": [null]}',
    "item of a list": '{"data": [[]]}',
    "empty item": '{"data": [{}]}',
    "two items": '{"data": [{"business_public_key_signature_status": "VALID"}, {}]}',
    "wrong types": '{"data": [{"business_public_key": 1, "business_public_key_signature_status": ["VALID"]}]}',
    "unknown status": '{"data": [{"business_public_key": "", "business_public_key_signature_status": "valid"}]}',
    "data and error": '{"data": [], "error": {"code": 190}}',
    "error of null": '{"error": null}',
    "error of text": '{"error": "190"}',
    "error without a code": '{"error": {"message": "x"}}',
    "code of text": '{"error": {"code": "OAuthException"}}',
    "code of a fraction": '{"error": {"code": 190.5}}',
    "large code": '{"error": {"code": ' + "9" * 5000 + "}}",
    "success of text": '{"success": "true"}',
    "success of a number": '{"success": 1}',
    "success and error": '{"success": true, "error": {"code": 100}}',
}
"""JSON that is not what this API documents, beside those in `support.simulators.faults`; for `faults.text`."""

_METHOD_ERRORS = frozenset({803})


def trace_id() -> str:
    """Make a trace id in the form that Meta's have."""
    return "A" + secrets.token_urlsafe(16)


class GraphExchange(Exchange):
    """A request to a simulator of the Graph API.

    Attributes:
        trace: Its trace id.
        headers: Headers of every answer of the API.
        code: The code by which it was refused, once it was.
    """

    trace: str = ""
    headers: Mapping[str, str] = {}
    code: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphError:
    """An error of the Graph API; as a fault it is the answer, and the request is not carried out."""

    code: int | str
    status: int
    message: str
    type: str = "OAuthException"
    more: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self, trace: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Make the answer."""
        error = {"message": self.message, "type": self.type, "code": self.code, "fbtrace_id": trace, **self.more}
        challenge = f'OAuth "Facebook Platform" "invalid_request" "{self.message}"'
        all_headers = {"WWW-Authenticate": challenge, **(headers or {}), **self.headers}
        return replace(Reply.json({"error": error}, self.status, all_headers), content_type=CONTENT_TYPE)

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        if not isinstance(exchange, GraphExchange):
            return self.reply(trace_id()).response()
        exchange.code = self.code
        return self.reply(exchange.trace, exchange.headers).response()


class GraphRefusal(Exception):
    """The API refuses a request."""

    def __init__(self, error: GraphError) -> None:
        super().__init__(error.code)
        self.error = error


def graph_error(
    code: int | str,
    message: str | None = None,
    *,
    subcode: int | None = None,
    status: int | None = None,
    transient: bool | None = None,
    retry_after: str | None = None,
    details: str | None = None,
    **more: object,
) -> GraphError:
    """Make an error, by default with the documented status and members.

    A code given as text stays text; `more` are further members, such as `type`, `error_user_msg`, or a malformed
    `fbtrace_id`.
    """
    number = int(code)
    members = {**more}
    kind = str(members.pop("type", "GraphMethodException" if number in _METHOD_ERRORS else "OAuthException"))
    if subcode is not None:
        members["error_subcode"] = subcode
    if transient is None and number in TRANSIENT:
        transient = True
    if transient is not None:
        members["is_transient"] = transient
    if details is not None:
        members["error_data"] = {"messaging_product": "whatsapp", "details": details}
    permission = 200 <= number <= 299
    default = 403 if permission else STATUSES.get(number, 400)
    return GraphError(
        code=code,
        status=default if status is None else status,
        message=f"(#{code}) {message or MESSAGES.get(number, 'Unknown error')}",
        type=kind,
        more=members,
        headers={} if retry_after is None else {"Retry-After": retry_after},
    )


def unknown_object(method: str, identity: str) -> GraphError:
    """Return the error of an object that is missing, not visible to the token, or does not support the method."""
    message = (
        f"Unsupported {method.lower()} request. Object with ID '{identity}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation."
    )
    error = graph_error(100, subcode=33, type="GraphMethodException")
    return replace(error, message=message)
