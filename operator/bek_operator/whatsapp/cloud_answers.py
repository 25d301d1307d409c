"""What the Cloud API's answers say, read with suspicion: anything may come in any form."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bek_operator.model.answers import Accepted, Failure, Reading
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.cloud_errors import Said, failure, no_success
from bek_operator.whatsapp.documents import Document, code_of, document_of, reading_of
from bek_operator.whatsapp.exchange import Answer
from bek_operator.whatsapp.meanings import SUCCESS
from bek_operator.whatsapp.peer import Peer
from bek_operator.whatsapp.retry_after import retry_after
from bek_operator.whatsapp.usage import told_by

_MOST_DIGITS = 7
_TRACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRACE_HEADERS = ("x-fb-trace-id", "x-fb-request-id")
_PROOF_WORD = "appsecret_proof"
_NOTHING = Reading(status=None, fingerprint=None)


def reading_from(answer: Answer, now: datetime, peer: Peer, *, proof_sent: bool) -> Reading | Failure:
    """Read the answer to a read."""
    document = document_of(answer.body) or {}
    if answer.status in SUCCESS and not document.get("error") and (found := _reading(document)) is not None:
        return found
    return _failure(answer, document, now, peer, proof_sent=proof_sent)


def acceptance_from(answer: Answer, now: datetime, peer: Peer, *, proof_sent: bool) -> Accepted | Failure:
    """Read the answer to a publish."""
    document = document_of(answer.body) or {}
    if answer.status in SUCCESS and not document.get("error"):
        if document.get("success") is True:
            return Accepted()
        if document.get("success") is False:
            return no_success(answer.status, _said(answer, document), peer)
    return _failure(answer, document, now, peer, proof_sent=proof_sent, publish=True)


def _reading(document: Document) -> Reading | None:
    """Read the members where they are: in the first item of a list, in an object, or at the top."""
    if "data" not in document:
        return reading_of(document)
    data = document["data"]
    if data == []:
        return _NOTHING
    members = data[0] if isinstance(data, list) else data
    if not isinstance(members, dict):
        return None
    # An object without members: there is nothing that the number holds.
    return reading_of(members) if members else _NOTHING


def _failure(
    answer: Answer, document: Document, now: datetime, peer: Peer, *, proof_sent: bool, publish: bool = False
) -> Failure:
    asked = retry_after(answer.headers.get("retry-after"), now)
    said = _said(answer, document)
    found = failure(answer.status, said, peer, publish=publish, proof_sent=proof_sent, retry_after=asked)
    if found.reason is Reason.RATE_LIMITED and found.retry_after is None:
        return replace(found, retry_after=max((told.regain for told in told_by(answer.headers)), default=0.0) or None)
    return found


def _said(answer: Answer, document: Document) -> Said:
    error = document.get("error")
    members = error if isinstance(error, dict) else {}
    message = members.get("message")
    return Said(
        code=code_of(members.get("code"), _MOST_DIGITS),
        subcode=code_of(members.get("error_subcode"), _MOST_DIGITS),
        transient=members.get("is_transient") is True,
        names_proof=isinstance(message, str) and _PROOF_WORD in message,
        trace=_trace(members, answer.headers),
    )


def _trace(error: Document, headers: Mapping[str, str]) -> str | None:
    """Return the id that the API's support asks for, as long as it looks like one."""
    candidates = (error.get("fbtrace_id"), *(headers.get(name) for name in _TRACE_HEADERS))
    return next((one for one in candidates if isinstance(one, str) and _TRACE.fullmatch(one)), None)
