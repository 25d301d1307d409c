"""What an error of the Cloud API means: by code, sometimes by subcode, and by HTTP status where no code is recognised.

The status alone misleads: rate limits come as 400, and errors that no repetition cures as 500.
"""

from dataclasses import dataclass, replace

from bek_operator.model.answers import Cure, Failure
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.cloud_codes import (
    CODES,
    LIMITS,
    NO_SUCCESS,
    NOT_ELIGIBLE,
    ON_PUBLISH,
    PARAMETER,
    PASSING,
    PERMISSION,
    PERMISSIONS,
    PROOF_REFUSED,
    PROOF_REQUIRED,
    STATUSES,
    SUBCODES,
)
from bek_operator.whatsapp.meanings import BUSY, REFUSED, UNRECOGNISED, Meaning, meaning_of_status
from bek_operator.whatsapp.peer import Peer

_NOT_ELIGIBLE_STATUS = 422
_BUSY_STATUS = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is used of an answer's error.

    Attributes:
        transient: It says that it will pass.
        names_proof: Its text has the word `appsecret_proof`; no more of the text is looked at.
        trace: The API's id of the call.
    """

    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    names_proof: bool = False
    trace: str | None = None


def failure(
    status: int,
    said: Said,
    peer: Peer,
    *,
    publish: bool = False,
    proof_sent: bool = False,
    retry_after: float | None = None,
) -> Failure:
    """Say what an answer means that is not a success."""
    meaning = _meaning(status, said, publish=publish, proof_sent=proof_sent)
    shown = f"HTTP {status}"
    if said.code is not None:
        shown = f"code {said.code}" if said.subcode is None else f"code {said.code}/{said.subcode}"
    return meaning.failure(
        shown,
        peer,
        code=said.code,
        retry_after=retry_after,
        trace=said.trace,
        unknown=publish and not meaning.certain and (_is_known(said.code) or status not in REFUSED),
    )


def no_success(status: int, said: Said, peer: Peer) -> Failure:
    """Say what it means that the answer to a publish denies its success; only a read tells what became of it."""
    return NO_SUCCESS.failure(f"HTTP {status}", peer, trace=said.trace, unknown=True)


def is_over_limit(status: int, found: Failure) -> bool:
    """Tell whether a call was refused for calls that were made before, with the same token."""
    return found.code in LIMITS if _is_known(found.code) else status == _BUSY_STATUS


def _meaning(status: int, said: Said, *, publish: bool, proof_sent: bool) -> Meaning:
    meaning = _by_code(status, said, publish=publish, proof_sent=proof_sent)
    if meaning is None:
        return _by_status(status, said)
    if said.transient:
        # Whoever says that time will do is given it; what a person should look at is tried some more times at least.
        cures = {Cure.PERSON: Cure.BOUNDED, Cure.BOUNDED: Cure.TIME}
        return replace(meaning, cure=cures.get(meaning.cure, meaning.cure))
    return meaning


def _by_code(status: int, said: Said, *, publish: bool, proof_sent: bool) -> Meaning | None:
    if said.code is None:
        return None
    if said.code == PARAMETER:
        if said.names_proof:
            return PROOF_REFUSED if proof_sent else PROOF_REQUIRED
        if status == _NOT_ELIGIBLE_STATUS:
            return NOT_ELIGIBLE
    if said.subcode is not None and (found := SUBCODES.get((said.code, said.subcode))):
        return found
    if publish and (found := ON_PUBLISH.get(said.code)):
        return found
    return CODES.get(said.code) or (PERMISSION if said.code in PERMISSIONS else None)


def _by_status(status: int, said: Said) -> Meaning:
    """Go by the HTTP status; a code that nobody documents may stand for anything, so what it says is bounded."""
    meaning = meaning_of_status(status, STATUSES, told=said.code is not None)
    if meaning is BUSY or (said.code is None and meaning.cure is Cure.TIME):
        return meaning
    if said.transient or meaning.cure is Cure.TIME:
        return PASSING
    return UNRECOGNISED if said.code is not None and meaning.reason is Reason.INVALID_ANSWER else meaning


def _is_known(code: int | None) -> bool:
    return code is not None and (code in CODES or code in PERMISSIONS)
