"""The client of the API server: credentials, time limits and errors.

Requests name paths of the REST API and return plain JSON: the generated models of the client library would parse every
response into objects, only for the caller to turn them back into dictionaries.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from bek_operator.cluster.answers import error_of
from bek_operator.cluster.errors import Gone, Unavailable
from bek_operator.cluster.response import MOST_BYTES, read

REQUEST_SECONDS = 20.0
_CREDENTIALS_TTL = timedelta(minutes=10)
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Current credentials for the API server, for another HTTP session.

    Attributes:
        server: The URL of the API server.
        context: The TLS context with trusted CAs and client certificate.
        scheme: The scheme of the `Authorization` header, such as `Bearer`.
        expires: When to fetch credentials again: tokens in a pod are renewed on disk.
    """

    server: str
    context: ssl.SSLContext
    scheme: str | None
    token: str | None = field(repr=False)
    expires: datetime


def pod_namespace(file: Path = _SERVICE_ACCOUNT_NAMESPACE) -> str:
    """Return the namespace of the pod with a service account that the process runs in; empty elsewhere."""
    is_pod = "KUBERNETES_SERVICE_HOST" in os.environ and file.exists()
    return file.read_text(encoding="ascii").strip() if is_pod else ""


def in_pod() -> bool:
    """Return whether the process runs in a pod with a service account."""
    return bool(pod_namespace())


def kubeconfig_path() -> str:
    """Return the path of the kubeconfig, or several, separated by colons; the library reads KUBECONFIG only once."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def namespace_of_user(kubeconfig: str = "", context: str | None = None) -> str:
    """Return the namespace of a context of the kubeconfig, or of the current one.

    Raises:
        Unavailable: there is no such context.
    """
    with _usable_credentials():
        contexts, current = config.list_kube_config_contexts(_existing(kubeconfig))
        found = current if context is None else next((one for one in contexts if one["name"] == context), None)
        if found is None:
            raise config.ConfigException(f"the kubeconfig has no context {context!r}")
        return (found["context"] or {}).get("namespace") or "default"


def _existing(kubeconfig: str) -> str:
    paths = kubeconfig or kubeconfig_path()
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise config.ConfigException(f"there is no kubeconfig at {paths}; set KUBECONFIG")
    return paths


@contextmanager
def _usable_credentials() -> Iterator[None]:
    """Raise Unavailable for whatever the library raises."""
    try:
        yield
    except config.ConfigException as error:
        raise Unavailable(f"no credentials for the API server: {error}") from None
    except OSError as error:
        raise Unavailable(f"no credentials for the API server: {error.filename}: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - the library does not validate a kubeconfig
        raise Unavailable(f"no credentials for the API server: no usable kubeconfig ({type(error).__name__})") from None


class Client:
    """A client of one API server, used as an asynchronous context manager; every request passes `middlewares`."""

    def __init__(self, configuration: Configuration, middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()) -> None:
        self._configuration = configuration
        # Requests to the API server, and its token, must not go through HTTPS_PROXY.
        configuration.client_session_kwargs = {"trust_env": False, "middlewares": tuple(middlewares)}
        # Unlimited: each watched namespace holds a connection, which would use up the library's default of 100.
        configuration.connection_pool_maxsize = 0
        self._api = ApiClient(configuration)
        self._api.user_agent = f"bek-operator/{version('bek-operator')}"
        self._context: ssl.SSLContext = self._api.rest_client.ssl_context
        verify_like_kubectl(self._context)

    @classmethod
    async def connect(cls, middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()) -> Self:
        """Load credentials: the service account in a pod, elsewhere the kubeconfig.

        Raises:
            Unavailable: there are no usable credentials.
        """
        configuration = Configuration()
        with _usable_credentials():
            if in_pod():
                config.load_incluster_config(configuration)
            else:
                await config.load_kube_config(_existing(""), client_configuration=configuration, persist_config=False)
        return cls(configuration, middlewares)

    @classmethod
    async def of_user(cls, kubeconfig: str = "", context: str | None = None) -> Self:
        """Load credentials from the kubeconfig, as kubectl does, for a context or the current one.

        Raises:
            Unavailable: there are no usable credentials.
        """
        configuration = Configuration()
        with _usable_credentials():
            await config.load_kube_config(
                _existing(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
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
            expires=datetime.now(UTC) + _CREDENTIALS_TTL,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
        most: int = MOST_BYTES,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object of the response, within so many seconds.

        Raises:
            ClusterError: the request failed; `TooLarge` for a response of more than `most` bytes.
        """
        async with self._send(method, path, query, body, headers, seconds) as response:
            try:
                content = json.loads(await read(response, most))
            except ValueError:
                raise Unavailable(f"{method} {path}: the response is not JSON") from None
        if not isinstance(content, dict):
            raise Unavailable(f"{method} {path}: the response is not an object")
        return content

    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], seconds: float, silence: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a watch until the server ends it.

        Raises:
            ClusterError: the watch could not be started or broke, lasted longer than `seconds`, or sent nothing for
                `silence` seconds, as when the connection was lost unnoticed; `Gone` also at an event of over 4 MiB.
        """
        async with self._send("GET", path, query, None, headers, seconds) as response:
            while True:
                try:
                    async with asyncio.timeout(silence):
                        line = await response.content.readline()
                except LineTooLong:
                    # A Secret of 1 MiB is up to six times as large in JSON; it comes again wherever that is resumed.
                    raise Gone(f"watch {path}: an event is too large") from None
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
        all_headers = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            all_headers.setdefault("Content-Type", "application/json")
        try:
            _, url, prepared, *_ = await self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=all_headers,
                auth_settings=["BearerToken"],
            )
            # Not passed to param_serialize, which would walk through the whole body.
            called = await self._api.call_api(method, url, prepared, body, _request_timeout=seconds)
            response = called.response
            async with response:
                if not response.ok:
                    raise error_of(method, path, response.status, await read(response, MOST_BYTES))
                yield response
        except (aiohttp.ClientError, config.ConfigException, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {_reason(error)}") from error


def verify_like_kubectl(context: ssl.SSLContext) -> None:
    """Set the context's flags so that it accepts what Go's clients accept.

    From Python 3.13 on the default is VERIFY_X509_STRICT, which refuses certificates of older clusters: those without
    key identifiers, and CAs without key usage (https://docs.python.org/3/library/ssl.html#ssl.create_default_context).
    Before 3.13 the default refuses CAs that are not self-signed.
    """
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def _reason(error: Exception) -> str:
    """Return the reason as OpenSSL or the system word it, otherwise the name of the exception's class."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = getattr(error.certificate_error, "verify_message", "no reason given")
        return f"the API server's certificate is not trusted: {found}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the API server's name {error.host} cannot be resolved"
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        server = f" (API server {error.host}:{error.port})" if isinstance(error, aiohttp.ClientConnectorError) else ""
        return f"{os.strerror(error.errno)}{server}"
    return type(error).__name__


@contextmanager
def validating(what: str) -> Iterator[None]:
    """Raise Unavailable for missing or malformed fields of a response, which may come from a proxy.

    Raises:
        Unavailable: the response is not `what`.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError):
        raise Unavailable(f"the response is not {what}") from None


def name_in_path(name: str) -> str:
    """Quote an object's name for use in a path."""
    return quote(name, safe="")
