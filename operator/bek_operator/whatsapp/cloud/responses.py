"""Parsing of the Cloud API's responses, which may hold anything."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bek_operator.crd.reasons import Reason
from bek_operator.http.interface import Response
from bek_operator.http.retry_after import retry_after
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.whatsapp.cloud.errors import ApiError, failure, success_false
from bek_operator.whatsapp.cloud.provider_errors import class_of_message
from bek_operator.whatsapp.documents import (
    KEY,
    STATUS,
    Document,
    mentions_public_key,
    parse_code,
    parse_object,
    reading_from_members,
)
from bek_operator.whatsapp.error_classes import SUCCESS, ErrorClass
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.ratelimit.usage import parse_usage

_MAX_DIGITS = 7
_TRACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRACE_HEADERS = ("x-fb-trace-id", "x-fb-request-id")
_PROOF = "appsecret_proof"
_NO_KEY = Reading(status=None, fingerprint=None)


def reading_from(response: Response, now: datetime, context: MessageContext, *, proof_sent: bool) -> Reading | Failure:
    """Parse the response to a read."""
    document = parse_object(response.body) or {}
    found = _reading(document) if response.status in SUCCESS and not document.get("error") else None
    if isinstance(found, Reading):
        return found
    if found is not None:
        return found.failure(f"HTTP {response.status}", context)
    return failure_from(response, document, now, context, proof_sent=proof_sent)


def acceptance_from(
    response: Response, now: datetime, context: MessageContext, *, proof_sent: bool
) -> Accepted | Failure:
    """Parse the response to a publish."""
    document = parse_object(response.body) or {}
    if response.status in SUCCESS and not document.get("error"):
        if document.get("success") is True:
            return Accepted()
        if document.get("success") is False:
            return success_false(response.status, _api_error(response, document, context), context)
    return failure_from(response, document, now, context, proof_sent=proof_sent, publish=True)


def _reading(document: Document) -> Reading | ErrorClass | None:
    """Return what the members in `data` (a list's first item, or an object) say, or those at the top without `data`."""
    if "data" not in document:
        return reading_from_members(document)
    data = document["data"]
    if KEY in document or STATUS in document:
        return None
    if data in ([], {}, [{}]):
        return _NO_KEY
    members = data[0] if isinstance(data, list) else data
    return reading_from_members(members) if isinstance(members, dict) else None


def failure_from(
    response: Response,
    document: Document,
    now: datetime,
    context: MessageContext,
    *,
    proof_sent: bool,
    publish: bool = False,
    of_account: bool = False,
) -> Failure:
    """Return the failure that a response tells of; `of_account` if not a number was called but its account."""
    seconds = retry_after(response.headers.get("retry-after"), now)
    error = _api_error(response, document, context)
    found = failure(
        response.status,
        error,
        context,
        publish=publish,
        of_account=of_account,
        proof_sent=proof_sent,
        retry_after=seconds,
    )
    if found.reason is Reason.RATE_LIMITED and found.retry_after is None:
        regain_seconds = max((usage.regain_seconds for usage in parse_usage(response.headers)), default=0.0)
        return replace(found, retry_after=regain_seconds or None)
    return found


def _api_error(response: Response, document: Document, context: MessageContext) -> ApiError:
    members = _object(document, "error")
    message = members.get("message")
    return ApiError(
        code=parse_code(members.get("code"), _MAX_DIGITS),
        subcode=parse_code(members.get("error_subcode"), _MAX_DIGITS),
        transient=members.get("is_transient") is True,
        mentions_proof=isinstance(message, str) and _PROOF in message,
        mentions_key=mentions_public_key(
            message, members.get("error_user_msg"), _object(members, "error_data").get("details")
        ),
        limit_reached=any(usage.is_reached for usage in parse_usage(response.headers)),
        provider_class=class_of_message(document) if context.provider else None,
        trace=_trace(members, response.headers),
    )


def _object(document: Document, name: str) -> Document:
    member = document.get(name)
    return member if isinstance(member, dict) else {}


def _trace(error: Document, headers: Mapping[str, str]) -> str | None:
    """Return the id that the API's support asks for, if it has the form of one."""
    candidates = (error.get("fbtrace_id"), *(headers.get(name) for name in _TRACE_HEADERS))
    return next((text for text in candidates if isinstance(text, str) and _TRACE.fullmatch(text)), None)
