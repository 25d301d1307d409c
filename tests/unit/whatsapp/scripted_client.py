"""An HTTP client that returns responses from a list, and responses to give it."""

import json
from typing import Final

from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.http.errors import HttpError
from bek_operator.http.interface import Request, Response
from bek_operator.numbers.answers import Failure
from bek_operator.whatsapp.on_premises.backend import LOGIN_PATH
from support.simulators import faults
from support.simulators.exchange import Reply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

UNREADABLE: Final = (
    Response(status=200),
    Response(status=200, body=b"\xff\xfe{}"),
    Response(status=200, body=b"[" * 60_000),
    Response(status=200, body=b'{"data":' * 8_000 + b"1" + b"}" * 8_000),
    Response(status=200, body=b'{"business_public_key": ' + b"9" * 60_000 + b"}"),
)
"""Responses of no API."""

FAULTS_OF_ANY_SERVER: Final = (
    (faults.page(), Reason.INVALID_ANSWER, True),
    (faults.page(404), Reason.INVALID_ANSWER, False),
    (faults.page(502), Reason.SERVICE_NOT_READY, True),
    (faults.redirect("https://127.0.0.1:1/"), Reason.INVALID_ANSWER, True),
    (faults.CutOff(), Reason.UNREACHABLE, True),
    (faults.CutOff(within="body"), Reason.UNREACHABLE, True),
    (faults.CutOff(within="head", reset=True), Reason.UNREACHABLE, True),
    (faults.Huge(size=200_000), Reason.INVALID_ANSWER, True),
    (faults.Endless("headers"), Reason.INVALID_ANSWER, True),
    (faults.GzipBomb(size=faults.MEBIBYTE), Reason.INVALID_ANSWER, True),
    (faults.Answer(Reply(status=204)), Reason.INVALID_ANSWER, True),
)
"""Each with its reason, and whether the outcome of a publish is unknown then."""


class ScriptedClient:
    """Returns responses from a list, the last one again and again; logins have a response of their own.

    Attributes:
        requests: All requests.
    """

    def __init__(self, *answers: Response | HttpError, login: Response | HttpError | None = None) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._login = login

    async def send(self, request: Request) -> Response:
        """Return the next response, or raise the next error."""
        self.requests.append(request)
        if self._login and request.url.path.endswith(LOGIN_PATH):
            response = self._login
        else:
            response = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(response, HttpError):
            raise response
        return response

    async def close(self) -> None:
        """There is nothing to close."""


def ok(document: object, status: int = 200, **headers: str) -> Response:
    """Return a response with a document."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=json.dumps(document).encode())


def members(key: object, status: object = "VALID", **more: object) -> dict[str, object]:
    """Return a document with a key and its status."""
    return {"business_public_key": key, "business_public_key_signature_status": status, **more}


def failed(found: object) -> Failure:
    """Return the failure of a call that must have failed."""
    assert isinstance(found, Failure)
    return found
