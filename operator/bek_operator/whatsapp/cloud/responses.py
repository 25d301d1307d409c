"""What the Cloud API's answers say, read with suspicion: anything may come in any form."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bek_operator.crd.reasons import Reason
from bek_operator.http.exchange import Response
from bek_operator.http.retry_after import retry_after
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.whatsapp.cloud.errors import ApiError, failure, no_success
from bek_operator.whatsapp.cloud.provider_errors import meaning_of_words
from bek_operator.whatsapp.documents import KEY, STATUS, Document, code_of, document_of, names_the_key, reading_of
from bek_operator.whatsapp.error_classes import SUCCESS, ErrorClass
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.ratelimit.usage import usage_from

_MOST_DIGITS = 7
_TRACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRACE_HEADERS = ("x-fb-trace-id", "x-fb-request-id")
_PROOF_WORD = "appsecret_proof"
_NOTHING = Reading(status=None, fingerprint=None)


def reading_from(answer: Response, now: datetime, context: MessageContext, *, proof_sent: bool) -> Reading | Failure:
    """Read the answer to a read."""
    document = document_of(answer.body) or {}
    found = _reading(document) if answer.status in SUCCESS and not document.get("error") else None
    if isinstance(found, Reading):
        return found
    if found is not None:
        return found.failure(f"HTTP {answer.status}", context)
    return _failure(answer, document, now, context, proof_sent=proof_sent)


def acceptance_from(
    answer: Response, now: datetime, context: MessageContext, *, proof_sent: bool
) -> Accepted | Failure:
    """Read the answer to a publish."""
    document = document_of(answer.body) or {}
    if answer.status in SUCCESS and not document.get("error"):
        if document.get("success") is True:
            return Accepted()
        if document.get("success") is False:
            return no_success(answer.status, _api_error(answer, document, context), context)
    return _failure(answer, document, now, context, proof_sent=proof_sent, publish=True)


def _reading(document: Document) -> Reading | ErrorClass | None:
    """Read the members where they are: in the first item of a list, in an object, or at the top, and only there."""
    if "data" not in document:
        return reading_of(document)
    data = document["data"]
    if KEY in document or STATUS in document:
        return None
    if data in ([], {}, [{}]):
        # Nothing is there, in whichever way that is said.
        return _NOTHING
    members = data[0] if isinstance(data, list) else data
    return reading_of(members) if isinstance(members, dict) else None


def _failure(
    answer: Response,
    document: Document,
    now: datetime,
    context: MessageContext,
    *,
    proof_sent: bool,
    publish: bool = False,
) -> Failure:
    check_requested = retry_after(answer.headers.get("retry-after"), now)
    error = _api_error(answer, document, context)
    found = failure(answer.status, error, context, publish=publish, proof_sent=proof_sent, retry_after=check_requested)
    if found.reason is Reason.RATE_LIMITED and found.retry_after is None:
        return replace(
            found, retry_after=max((told.regain for told in usage_from(answer.headers)), default=0.0) or None
        )
    return found


def _api_error(answer: Response, document: Document, context: MessageContext) -> ApiError:
    members = _object(document, "error")
    message = members.get("message")
    return ApiError(
        code=code_of(members.get("code"), _MOST_DIGITS),
        subcode=code_of(members.get("error_subcode"), _MOST_DIGITS),
        transient=members.get("is_transient") is True,
        names_proof=isinstance(message, str) and _PROOF_WORD in message,
        names_key=names_the_key(message, members.get("error_user_msg"), _object(members, "error_data").get("details")),
        used_up=any(told.is_used_up for told in usage_from(answer.headers)),
        own=meaning_of_words(document) if context.provider else None,
        trace=_trace(members, answer.headers),
    )


def _object(document: Document, name: str) -> Document:
    member = document.get(name)
    return member if isinstance(member, dict) else {}


def _trace(error: Document, headers: Mapping[str, str]) -> str | None:
    """Return the id that the API's support asks for, as long as it looks like one."""
    candidates = (error.get("fbtrace_id"), *(headers.get(name) for name in _TRACE_HEADERS))
    return next((one for one in candidates if isinstance(one, str) and _TRACE.fullmatch(one)), None)
