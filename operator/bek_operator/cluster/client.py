"""The one client of the API server: credentials, time limits, and errors of our own.

Everything goes through `request` with a path of the REST API: the generated models of the client library would
parse every answer into objects that the next line turns back into dictionaries.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from bek_operator.cluster.errors import ClusterError, Conflict, Forbidden, Gone, NotFound, Unavailable

REQUEST_SECONDS = 20.0
_CREDENTIALS_LIFE = timedelta(minutes=10)
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_STATUS_ERRORS: Mapping[int, type[ClusterError]] = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach the API server at this moment, for whoever holds connections of their own.

    Attributes:
        server: Its URL.
        context: How TLS is spoken: which certificates are trusted, and which one is shown.
        scheme: The word before the token in the header `Authorization`.
        expires: When to ask again: tokens in a pod are renewed on disk.
    """

    server: str
    context: ssl.SSLContext
    scheme: str | None
    token: str | None = field(repr=False)
    expires: datetime


def in_pod() -> bool:
    """Tell whether the process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and _SERVICE_ACCOUNT_NAMESPACE.exists()


class Client:
    """A connection to one API server, used as an asynchronous context manager."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        # Each namespace that is watched holds a connection; the library's hundred would leave none for all else.
        configuration.connection_pool_maxsize = 0
        self._api = ApiClient(configuration)
        self._api.user_agent = f"bek-operator/{version('bek-operator')}"
        self._context: ssl.SSLContext = self._api.rest_client.ssl_context
        check_as_kubectl_does(self._context)

    @classmethod
    async def connect(cls) -> Self:
        """Load credentials: the service account in a pod, elsewhere what `KUBECONFIG` says.

        Raises:
            Unavailable: there are none, or they cannot be read.
        """
        configuration = Configuration()
        # A proxy for the internet (HTTPS_PROXY) is no way to the API server, nor should it see its token.
        configuration.client_session_kwargs = {"trust_env": False}
        try:
            if in_pod():
                config.load_incluster_config(configuration)
            else:
                # The default of the library was read when it was imported.
                file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
                await config.load_kube_config(file, client_configuration=configuration, persist_config=False)
        except (config.ConfigException, OSError) as error:
            raise Unavailable(f"no credentials for a cluster: {error}") from None
        except Exception as error:  # noqa: BLE001 - the library checks nothing of what is in a kubeconfig
            raise Unavailable(f"no credentials for a cluster: no usable kubeconfig ({type(error).__name__})") from None
        return cls(configuration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    async def access(self) -> Access:
        """Return fresh credentials."""
        auth = (await self._configuration.auth_settings()).get("BearerToken", {}).get("value") or ""
        scheme, _, token = auth.rpartition(" ")
        return Access(
            server=self._configuration.host,
            context=self._context,
            scheme=scheme.strip().title() or None,
            token=token or None,
            expires=datetime.now(UTC) + _CREDENTIALS_LIFE,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call the API server and return the JSON object that it answers.

        Raises:
            ClusterError: the call did not succeed; which one tells why.
        """
        async with self._send(method, path, query, body, headers, REQUEST_SECONDS) as response:
            try:
                answer = json.loads(await response.read())
            except ValueError:
                raise Unavailable(f"{method} {path}: the answer is not JSON") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {path}: the answer is not an object")
        return answer

    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], seconds: float, silence: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the objects of a watch until the server ends it.

        Raises:
            ClusterError: the watch could not be started or broke, lasted longer than `seconds`, or nothing was heard
                of it for the seconds of `silence`: a connection that is cut without a word looks like that.
        """
        async with self._send("GET", path, query, None, headers, seconds) as response:
            while True:
                async with asyncio.timeout(silence):
                    line = await response.content.readline()
                if not line:
                    return
                try:
                    event = json.loads(line)
                except ValueError:
                    raise Unavailable(f"watch {path}: a line is not JSON") from None
                if isinstance(event, dict):
                    yield event

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        seconds: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        wanted = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            wanted.setdefault("Content-Type", "application/json")
        try:
            _, url, prepared, *_ = await self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=wanted,
                auth_settings=["BearerToken"],
            )
            # The body is plain JSON already; the client would walk through all of it to see whether that is so.
            called = await self._api.call_api(method, url, prepared, body, _request_timeout=seconds)
            response = called.response
            async with response:
                if not response.ok:
                    error = _STATUS_ERRORS.get(response.status, Unavailable)
                    raise error(f"{method} {path}: HTTP {response.status}")
                yield response
        except (aiohttp.ClientError, config.ConfigException, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {_reason(error)}") from error


def check_as_kubectl_does(context: ssl.SSLContext) -> None:
    """Have a context accept the certificates that Go's clients accept.

    From Python 3.13 on the library refuses a certificate without key identifiers and an authority without key usage
    (https://docs.python.org/3/library/ssl.html#ssl.create_default_context), which older clusters have. Before 3.13 it
    refuses an authority that is not self-signed.
    """
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def _reason(error: Exception) -> str:
    """Return why there is no answer: in words of OpenSSL or of the system, otherwise the kind of the error alone."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate is not trusted: {getattr(error.certificate_error, 'verify_message', 'no reason given')}"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be looked up"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn what is missing or odd in an answer into an error of our own.

    Raises:
        Unavailable: the answer does not have the form of `what`: a proxy's, or a server that is not well.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError):
        raise Unavailable(f"the answer does not have the form of {what}") from None


def name_in_path(name: str) -> str:
    """Quote an object's name for a path, so that no name can lead elsewhere."""
    return quote(name, safe="")
