"""The client of the API server: what it sends, and its errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from bek_operator.cluster.client import Client, in_pod, name_in_path, pod_namespace, verify_like_kubectl
from bek_operator.cluster.errors import (
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    NotServed,
    Unauthorized,
    Unavailable,
)
from support import tls
from support.simulators.small_server import Answer, SmallServer, api_server, body, client_of, cut, missing, stream, text

Pair = tuple[SmallServer, Client]
PATH = "/api/v1/namespaces/messaging/secrets/flows-key"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Provide a server and a client of it."""
    async with api_server() as pair:
        yield pair


async def events(client: Client, *, seconds: float = 20.0, silence: float = 20.0) -> list[dict[str, Any]]:
    """Return everything that a watch yields."""
    return [event async for event in client.stream("/watch", query={}, headers={}, seconds=seconds, silence=silence)]


async def test_a_response_is_a_json_object(pair: Pair) -> None:
    """Path, query, headers and body are sent unchanged; JSON is requested."""
    server, client = pair
    server.answers = [body({"kind": "Secret"})]
    found = await client.request(
        "PATCH",
        PATH,
        query={"fieldManager": "a b"},
        body={"a": ["ä"]},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert found == {"kind": "Secret"}
    (received,) = server.requests
    assert (received.method, received.path, received.query, received.body) == (
        "PATCH",
        PATH,
        {"fieldManager": "a b"},
        {"a": ["ä"]},
    )
    assert received.headers["Content-Type"] == "application/merge-patch+json"
    assert received.headers["Accept"] == "application/json"
    assert received.headers["User-Agent"].startswith("bek-operator/")


STATUSES: dict[int, type[ClusterError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotServed,
    409: Conflict,
    410: Gone,
    422: Unavailable,
    429: Unavailable,
    500: Unavailable,
    503: Unavailable,
}


@pytest.mark.parametrize(("status", "error"), STATUSES.items())
async def test_a_status_is_a_cluster_error(pair: Pair, status: int, error: type[ClusterError]) -> None:
    """Its message has the request and the status, and nothing of the response."""
    server, client = pair
    server.answers = [body({"message": "sesame"}, status)]
    with pytest.raises(ClusterError) as raised:
        await client.request("GET", PATH)
    assert type(raised.value) is error
    assert str(raised.value) == f"GET {PATH}: HTTP {status}"
    with pytest.raises(error):
        await events(client)


FLOWS = "/apis/bek.dev/v1alpha1/namespaces/messaging/businessencryptionkeys/flows"
STATUS = {"kind": "Status", "reason": "NotFound", "details": {"kind": "businessencryptionkeys", "name": "flows"}}
NOT_FOUND: dict[str, tuple[str, Answer, type[ClusterError]]] = {
    "the object": (FLOWS, missing("businessencryptionkeys", "flows"), NotFound),
    "the object of the status": (f"{FLOWS}/status", missing("businessencryptionkeys", "flows"), NotFound),
    "an object with a name to quote": ("/api/v1/namespaces/a/secrets/b%2Fc", missing("secrets", "b/c"), NotFound),
    "another object": (FLOWS, missing("businessencryptionkeys", "other"), NotServed),
    "an object of another kind": (FLOWS, missing("secrets", "flows"), NotServed),
    "the namespace": (FLOWS, missing("namespaces", "messaging"), NotServed),
    "no path": (FLOWS, text("404 page not found\n", 404), NotServed),
    "a proxy's page": (FLOWS, text("<html>not found</html>", 404), NotServed),
    "a list": (FLOWS, body([], 404), NotServed),
    "no details": (FLOWS, body({**STATUS, "details": None}, 404), NotServed),
    "another reason": (FLOWS, body({**STATUS, "reason": "Expired"}, 404), NotServed),
    "no Status": (FLOWS, body({**STATUS, "kind": "Secret"}, 404), NotServed),
}


@pytest.mark.parametrize(("path", "answer", "error"), NOT_FOUND.values(), ids=NOT_FOUND.keys())
async def test_only_a_status_about_the_object_says_that_it_does_not_exist(
    pair: Pair, path: str, answer: Answer, error: type[ClusterError]
) -> None:
    """Any other 404 is of a proxy, or of an API server that does not have the path (yet)."""
    server, client = pair
    server.answers = [answer]
    with pytest.raises(ClusterError) as raised:
        await client.request("GET", path)
    assert type(raised.value) is error


INVALID_RESPONSES: dict[str, Answer] = {
    "a page of HTML": text("<html>sesame</html>"),
    "half of JSON": text('{"a": "sesame'),
    "nothing": text(""),
    "a list": body(["sesame"]),
    "bytes that are no text": stream("\udcff".encode("utf-8", "surrogatepass").decode("latin-1")),
    "cut in the middle": stream('{"a":', then=cut),
}


@pytest.mark.parametrize("answer", INVALID_RESPONSES.values(), ids=INVALID_RESPONSES.keys())
async def test_an_invalid_response_is_unavailable(pair: Pair, answer: Answer) -> None:
    """Such as a proxy's page or a broken connection; the message quotes nothing of it."""
    server, client = pair
    server.answers = [answer]
    with pytest.raises(Unavailable) as raised:
        await client.request("GET", PATH)
    assert "sesame" not in str(raised.value)


async def test_a_refused_connection_is_unavailable() -> None:
    """The message has the system's reason."""
    server = SmallServer()
    async with server.listening():
        url = server.url
    async with client_of(url) as client:
        with pytest.raises(
            Unavailable, match=f"GET {PATH}: Connection refused \\(API server {url.partition('://')[2]}\\)"
        ):
            await client.request("GET", PATH)


LAX = tls.lax_authority()
CERTIFICATES: dict[str, tuple[tls.Certificate, str, str]] = {
    "without key identifiers": (tls.lax(LAX, "localhost"), LAX.pem, ""),
    "itself all that is trusted": (tls.signed_by(tls.self_signed("ca"), "localhost"), "itself", ""),
    "of somebody else": (
        tls.self_signed("localhost"),
        LAX.pem,
        "the API server's certificate is not trusted: self-signed cert",
    ),
    "for another name": (
        tls.lax(LAX, "elsewhere"),
        LAX.pem,
        "the API server's certificate is not trusted: Hostname mismatch",
    ),
    "expired": (
        tls.self_signed("localhost", start=datetime(2020, 1, 1, tzinfo=UTC)),
        "itself",
        "the API server's certificate is not trusted: certificate",
    ),
}


@pytest.mark.parametrize(("shown", "trusted", "message"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_what_kubectl_trusts_is_trusted(shown: tls.Certificate, trusted: str, message: str) -> None:
    """On every Python, though its default is stricter from 3.13 on; otherwise the message has the reason."""
    configuration = Configuration(host="https://localhost", ca_cert_data=shown.pem if trusted == "itself" else trusted)
    server = SmallServer()
    server.answers = [body({"kind": "Secret"})]
    async with server.listening(shown.server_context()), Client(configuration) as client:
        configuration.host = server.url
        if message:
            with pytest.raises(Unavailable, match=f"GET {PATH}: {message}"):
                await client.request("GET", PATH)
        else:
            assert await client.request("GET", PATH) == {"kind": "Secret"}


async def test_kopf_and_the_client_trust_the_same() -> None:
    """Both contexts have the same flags, whatever Python's default."""
    strict = ssl.create_default_context(cadata=LAX.pem)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    verify_like_kubectl(strict)
    async with client_of("https://localhost") as client:
        access = await client.access()
    assert access.context.verify_flags == strict.verify_flags
    assert not strict.verify_flags & ssl.VERIFY_X509_STRICT
    assert strict.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


async def test_a_certificate_without_key_identifiers_is_accepted() -> None:
    """Python's default from 3.13 on refuses it."""
    server = SmallServer()
    server.answers = [body({})]
    context = ssl.create_default_context(cadata=LAX.pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    async with server.listening(tls.lax(LAX, "localhost").server_context()), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="Missing Authority Key Identifier"):
            await session.get(server.url, ssl=context)
        verify_like_kubectl(context)
        async with session.get(server.url, ssl=context) as response:
            assert response.status == 200


async def test_unreadable_credentials_are_unavailable() -> None:
    """A token file may be empty for a moment while it is written."""

    def refresh(_: Configuration) -> None:
        raise config.ConfigException("Token file exists but empty.")

    configuration = Configuration(host="http://127.0.0.1:1", api_key={"BearerToken": "x"})
    vars(configuration)["refresh_api_key_hook"] = refresh
    async with Client(configuration) as client:
        with pytest.raises(Unavailable):
            await client.request("GET", PATH)


async def test_a_watch_yields_line_by_line(pair: Pair) -> None:
    """However the stream is split, and however long lines are; lines without an object are skipped."""
    server, client = pair
    long = "x" * 300_000
    server.answers = [stream('{"n": 1}\n{"n"', ": 2}\n[]\n3\n", f'{{"n": "{long}"}}\n')]
    assert [event["n"] for event in await events(client)] == [1, 2, long]


BROKEN: dict[str, Answer] = {
    "a line that is no JSON": stream('{"n": 1}\n', "<html>\n"),
    "a line that is cut off": stream('{"n": 1}\n', '{"n'),
    "a connection that is cut off": stream('{"n": 1}\n', then=cut),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_watch_yields_the_events_before(pair: Pair, answer: Answer) -> None:
    """Then it raises Unavailable."""
    server, client = pair
    server.answers = [answer]
    watch = client.stream("/watch", query={}, headers={}, seconds=20, silence=20)
    assert await anext(watch) == {"n": 1}
    with pytest.raises(Unavailable):
        await anext(watch)


async def test_an_event_that_is_too_large_cannot_be_watched_past(pair: Pair) -> None:
    """Whoever resumes the watch gets it again; a list is needed."""
    server, client = pair
    server.answers = [stream('{"n": "' + "x" * 2**23 + '"}\n')]
    with pytest.raises(Gone, match="an event is too large"):
        await events(client)


@pytest.mark.parametrize(("seconds", "silence"), [(20.0, 0.05), (0.05, 20.0)], ids=["in between", "in all"])
async def test_a_silent_watch_times_out(pair: Pair, seconds: float, silence: float) -> None:
    """A connection that was lost unnoticed is detected."""
    server, client = pair
    over = asyncio.Event()

    async def wait(_: web.Request) -> None:
        await over.wait()

    server.answers = [stream('{"n": 1}\n', then=wait)]
    with pytest.raises(Unavailable):
        await events(client, seconds=seconds, silence=silence)
    over.set()


async def test_watches_do_not_use_up_the_connections(pair: Pair) -> None:
    """Each watched namespace holds one."""
    server, client = pair
    over = asyncio.Event()

    async def wait(_: web.Request) -> None:
        await over.wait()

    server.answers = [*[stream('{"n": 1}\n', then=wait)] * 101, body({"kind": "Secret"})]
    async with AsyncExitStack() as held:
        held.callback(over.set)
        for _ in range(101):
            watch = client.stream("/watch", query={}, headers={}, seconds=20, silence=20)
            await held.enter_async_context(aclosing(watch))
            assert await anext(watch) == {"n": 1}
        assert await client.request("GET", PATH) == {"kind": "Secret"}


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig for the server."""
    file = folder / "config"
    file.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{token: sesame}}}}]
""",
        encoding="utf-8",
    )
    return file


async def test_credentials_come_from_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent to the API server, and not through a proxy of the environment."""
    server = SmallServer()
    server.answers = [body({})]
    async with server.listening():
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.url)))
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        async with await Client.connect() as client:
            await client.request("GET", PATH)
            access = await client.access()
    assert server.requests[0].headers["Authorization"] == "Bearer sesame"
    assert (access.server, access.scheme, access.token) == (server.url, "Bearer", "sesame")
    assert access.context.verify_mode is ssl.CERT_REQUIRED
    assert access.expires > datetime.now(UTC)
    assert "sesame" not in repr(access)


@pytest.mark.parametrize("content", [None, "", "{}", ": : :", "current-context: x"])
async def test_a_start_without_credentials_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """No kubeconfig, or an invalid one."""
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not in_pod()
    with pytest.raises(Unavailable, match="no credentials"):
        await Client.connect()


def test_a_pod_knows_its_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the file of its service account; outside of a pod there is none."""
    file = tmp_path / "namespace"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert pod_namespace(file) == ""
    file.write_text("bek-system\n", encoding="ascii")
    assert pod_namespace(file) == "bek-system"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert pod_namespace(file) == ""


def test_names_are_quoted() -> None:
    """Slashes and question marks, too."""
    assert name_in_path("../a/b?c#d%2e") == "..%2Fa%2Fb%3Fc%23d%252e"
