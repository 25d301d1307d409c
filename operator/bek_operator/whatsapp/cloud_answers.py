"""What the Cloud API's answers say, read with suspicion: anything may come in any form."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bek_operator.model.answers import Accepted, Failure, Reading
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.cloud_errors import Said, failure, no_success
from bek_operator.whatsapp.documents import KEY, STATUS, Document, code_of, document_of, names_the_key, reading_of
from bek_operator.whatsapp.exchange import Answer
from bek_operator.whatsapp.meanings import SUCCESS, Meaning
from bek_operator.whatsapp.peer import Peer
from bek_operator.whatsapp.provider_errors import meaning_of_words
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
    found = _reading(document) if answer.status in SUCCESS and not document.get("error") else None
    if isinstance(found, Reading):
        return found
    if found is not None:
        return found.failure(f"HTTP {answer.status}", peer)
    return _failure(answer, document, now, peer, proof_sent=proof_sent)


def acceptance_from(answer: Answer, now: datetime, peer: Peer, *, proof_sent: bool) -> Accepted | Failure:
    """Read the answer to a publish."""
    document = document_of(answer.body) or {}
    if answer.status in SUCCESS and not document.get("error"):
        if document.get("success") is True:
            return Accepted()
        if document.get("success") is False:
            return no_success(answer.status, _said(answer, document, peer), peer)
    return _failure(answer, document, now, peer, proof_sent=proof_sent, publish=True)


def _reading(document: Document) -> Reading | Meaning | None:
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
    answer: Answer, document: Document, now: datetime, peer: Peer, *, proof_sent: bool, publish: bool = False
) -> Failure:
    asked = retry_after(answer.headers.get("retry-after"), now)
    said = _said(answer, document, peer)
    found = failure(answer.status, said, peer, publish=publish, proof_sent=proof_sent, retry_after=asked)
    if found.reason is Reason.RATE_LIMITED and found.retry_after is None:
        return replace(found, retry_after=max((told.regain for told in told_by(answer.headers)), default=0.0) or None)
    return found


def _said(answer: Answer, document: Document, peer: Peer) -> Said:
    members = _object(document, "error")
    message = members.get("message")
    return Said(
        code=code_of(members.get("code"), _MOST_DIGITS),
        subcode=code_of(members.get("error_subcode"), _MOST_DIGITS),
        transient=members.get("is_transient") is True,
        names_proof=isinstance(message, str) and _PROOF_WORD in message,
        names_key=names_the_key(message, members.get("error_user_msg"), _object(members, "error_data").get("details")),
        used_up=any(told.is_used_up for told in told_by(answer.headers)),
        own=meaning_of_words(document) if peer.provider else None,
        trace=_trace(members, answer.headers),
    )


def _object(document: Document, name: str) -> Document:
    member = document.get(name)
    return member if isinstance(member, dict) else {}


def _trace(error: Document, headers: Mapping[str, str]) -> str | None:
    """Return the id that the API's support asks for, as long as it looks like one."""
    candidates = (error.get("fbtrace_id"), *(headers.get(name) for name in _TRACE_HEADERS))
    return next((one for one in candidates if isinstance(one, str) and _TRACE.fullmatch(one)), None)
