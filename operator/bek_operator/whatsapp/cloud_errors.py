"""What an error of the Cloud API means: by code, sometimes by subcode, and by HTTP status where no code is recognised.

The status alone misleads: rate limits come as 400, and errors that no repetition cures as 500.
"""

from dataclasses import dataclass, replace

from bek_operator.model.answers import Cure, Failure, Pace
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.cloud_codes import (
    LIMIT_SUBCODE,
    NO_SUCCESS,
    NOT_ELIGIBLE,
    ON_PUBLISH,
    PARAMETER,
    PASSING,
    PROOF_REFUSED,
    PROOF_REQUIRED,
    STATUSES,
    SUBCODES,
    meaning_of_code,
)
from bek_operator.whatsapp.meanings import BUSY, KEY_NAMED, REFUSED, UNRECOGNISED, Meaning, meaning_of_status
from bek_operator.whatsapp.peer import Peer

_NOT_ELIGIBLE_STATUS = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is used of an answer's error; of its texts no more than whether they have certain words.

    Attributes:
        transient: It says that it will pass.
        names_proof: Its text has the word `appsecret_proof`.
        names_key: Its text speaks of the public key.
        used_up: The headers beside it tell that a limit on calls is used up.
        own: What words of a provider's own mean, where they are documented.
        trace: The API's id of the call.
    """

    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    names_proof: bool = False
    names_key: bool = False
    used_up: bool = False
    own: Meaning | None = None
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
    return meaning.failure(
        _shown(status, said),
        peer,
        code=said.code,
        retry_after=retry_after,
        trace=said.trace,
        unknown=publish and not meaning.certain and (_is_known(said.code) or status not in REFUSED),
    )


def no_success(status: int, said: Said, peer: Peer) -> Failure:
    """Say what it means that the answer to a publish denies its success; only a read tells what became of it."""
    return NO_SUCCESS.failure(f"HTTP {status}", peer, trace=said.trace, unknown=True)


def _shown(status: int, said: Said) -> str:
    """Return the server's own account in short; a code that nobody documents says little without the HTTP status."""
    if said.code is None:
        return f"HTTP {status}"
    if not _is_known(said.code):
        return f"HTTP {status}, code {said.code}"
    return f"code {said.code}" if said.subcode is None else f"code {said.code}/{said.subcode}"


def _meaning(status: int, said: Said, *, publish: bool, proof_sent: bool) -> Meaning:
    meaning = _by_code(status, said, publish=publish, proof_sent=proof_sent) or said.own
    if meaning is None:
        return _by_status(status, said, publish=publish)
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
    return meaning_of_code(said.code) or (BUSY if said.subcode == LIMIT_SUBCODE else None)


def _by_status(status: int, said: Said, *, publish: bool) -> Meaning:
    """Go by the HTTP status and what is beside it.

    A code that nobody documents may stand for anything. What it says of the key is bounded to a publish, and to an
    error that names the key; where it says that it will pass, it may be one more limit, and is met as slowly.
    """
    refused = status in REFUSED
    if said.used_up and (refused or said.code is not None):
        return BUSY
    meaning = meaning_of_status(status, STATUSES, told=said.code is not None)
    if meaning is BUSY or (said.code is None and meaning.cure is Cure.TIME):
        return meaning
    if said.transient:
        return replace(PASSING, cure=Cure.TIME, pace=Pace.SLOW)
    if meaning.cure is Cure.TIME:
        return PASSING
    if said.code is not None and meaning.reason is Reason.INVALID_ANSWER:
        meaning = UNRECOGNISED
    return KEY_NAMED if meaning is UNRECOGNISED and publish and said.names_key and refused else meaning


def _is_known(code: int | None) -> bool:
    return code is not None and meaning_of_code(code) is not None
