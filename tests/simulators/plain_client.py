"""A minimal client of the On-Premises API: one request for each method."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any, Self

import httpx

from support.simulators.on_premises import OnPremises
from support.simulators.pod import Pod
from support.simulators.pod_api import ENCRYPTION, LOGIN

ONE, TWO = "+15550001111", "+15550002222"


class Client:
    """A client of one pod."""

    def __init__(self, pod: Pod, verify: ssl.SSLContext, url: str) -> None:
        self.pod = pod
        self.http = httpx.Client(verify=verify, trust_env=False, timeout=5)
        self.url = url.rstrip("/")
        self.token = ""

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Close its connections."""
        self.http.close()

    def login(self, username: str | None = None, password: str | None = None, **more: Any) -> httpx.Response:
        """Log in and keep the token."""
        user = (username or self.pod.username, password or self.pod.password)
        headers = {"Content-Type": "application/json"}
        answer = self.http.post(self.url + LOGIN, **{"auth": user, "headers": headers, **more})
        if answer.status_code == HTTPStatus.OK:
            self.token = answer.json()["users"][0]["token"]
        return answer

    def read(self, token: str | None = None) -> httpx.Response:
        """Read the key."""
        return self.http.get(self.url + ENCRYPTION, headers=self.bearer(token))

    def publish(self, public: str, **more: Any) -> httpx.Response:
        """Publish a key as documented."""
        headers = {**self.bearer(), **more.pop("headers_too", {})}
        arguments: dict[str, Any] = {"data": {"public_key": public}, "headers": headers, **more}
        return self.http.post(self.url + ENCRYPTION, **arguments)

    def bearer(self, token: str | None = None) -> dict[str, str]:
        """Return the header of authorisation."""
        return {"Authorization": f"Bearer {self.token if token is None else token}"}


Connect = Callable[..., Client]
"""Makes a client: `(number, url=…, login=True)`, by default of the pod's own port."""


@contextmanager
def clients(simulator: OnPremises) -> Iterator[Connect]:
    """Make clients that trust the simulator, and close them in the end."""
    with ExitStack() as stack:

        def connect(number: str, *, url: str | None = None, login: bool = True) -> Client:
            pod = simulator[number]
            client = Client(pod, simulator.certificate.client_context(), url or pod.url)
            stack.enter_context(client)
            if login:
                client.login().raise_for_status()
            return client

        yield connect


def code_of(answer: httpx.Response) -> int:
    """Return the code of an answer that refuses, after a look at its envelope."""
    document = answer.json()
    assert set(document) == {"errors", "meta"}
    assert answer.status_code >= 400
    (error,) = document["errors"]
    assert isinstance(error["title"], str)
    return int(error["code"])


def key_of(answer: httpx.Response) -> tuple[str, str]:
    """Return the key and the status of a read."""
    assert answer.status_code == 200
    document = answer.json()
    assert document["meta"]["api_status"] == "stable"
    return document["business_public_key"], document["business_public_key_signature_status"]
