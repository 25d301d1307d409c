"""An HTTP client that returns responses from a list, and responses to give it."""

import json

from hypothesis import strategies as st

from bek_operator.http.errors import HttpError
from bek_operator.http.interface import Request, Response
from bek_operator.whatsapp.on_premises.backend import LOGIN_PATH

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


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
