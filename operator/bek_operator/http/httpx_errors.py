"""Translates httpx errors into our own, which, unlike httpx's, do not hold the request."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

import httpx

from bek_operator.http.errors import (
    BrokenOffError,
    CertificateFault,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    NotSentError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.metered_tls import LimitExceededError
from bek_operator.http.transport import CONNECTING, SENDING, SENDING_CONTENT

_MAX_NAME_SHOWN = 60
_STATUS_DIGITS = 3
_BROKEN = "the connection broke, or the response was not HTTP"
_NOT_HTTP = "the response is not HTTP, or its headers are too many or too long"


class _Stage(Enum):
    """The progress of a request; the value says what is missing if it ends there."""

    LOOKUP = "the name was not resolved"
    OPEN = "no TLS connection"
    CONNECT = "no connection"
    TUNNEL = "no tunnel through the proxy"
    HANDSHAKE = "no TLS handshake"
    SENT = "no complete response"
    BODY = "no complete response body"


_TUNNEL_OPEN: Final = "proxy.start_tls.started"
_STAGES: Final = {
    CONNECTING: _Stage.OPEN,
    "connection.connect_tcp.started": _Stage.CONNECT,
    "connection.start_tls.started": _Stage.HANDSHAKE,
    _TUNNEL_OPEN: _Stage.HANDSHAKE,
    SENDING: _Stage.SENT,
    "http11.receive_response_body.started": _Stage.BODY,
}


class Progress:
    """Follows the progress of a request by the trace events of httpx.

    Through a proxy there is a request before ours, the CONNECT for the tunnel, until TLS starts within the tunnel.
    """

    def __init__(self, *, proxied: bool, may_send: Callable[[], bool]) -> None:
        self._stage = _Stage.LOOKUP
        self._may_send = may_send
        self._proxied = proxied
        self._opening_tunnel = False

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        """Handle a trace event.

        Raises:
            NotSentError: the request is about to be sent, and must not be.
        """
        if event in {SENDING, SENDING_CONTENT} and not self._may_send():
            raise NotSentError("not sent, another process of the operator may be at work by now")
        stage = _STAGES.get(event, self._stage)
        if stage is _Stage.CONNECT:
            self._opening_tunnel = self._proxied
        elif event == _TUNNEL_OPEN:
            self._opening_tunnel = False
        self._stage = _Stage.TUNNEL if stage is _Stage.SENT and self._opening_tunnel else stage

    @property
    def sent(self) -> bool:
        """Whether the request itself may have been sent."""
        return self._stage in {_Stage.SENT, _Stage.BODY}

    def timeout_error(self, seconds: float) -> TooSlowError:
        """Return the error for a request that exceeded its time limit."""
        return TooSlowError(f"{self._stage.value} within {seconds:g} s", sent=self.sent)

    @contextmanager
    def translate_errors(self, server_name: str, connect_seconds: float) -> Iterator[None]:
        """Raise our own errors in place of httpx's, without them as cause."""
        try:
            yield
        except HttpError:
            raise
        except httpx.ConnectTimeout:
            raise self._not_connected(f"{self._stage.value} within {connect_seconds:g} s") from None
        except httpx.ConnectError as fault:
            raise self._connect_error(fault, server_name) from None
        except httpx.ProxyError as fault:
            raise NotConnectedError(f"the proxy refused the tunnel ({_proxy_status(fault)})") from None
        # httpx lets some TLS errors through as they are; a name that cannot be sent raises ValueError.
        except (httpx.HTTPError, OSError, ValueError) as fault:
            limit_exceeded = next((cause for cause in _causes(fault) if isinstance(cause, LimitExceededError)), None)
            if limit_exceeded:
                raise UnacceptableError(limit_exceeded.message, sent=self.sent) from None
            if self._opening_tunnel:
                raise self._not_connected(_BROKEN) from None
            if self._stage is _Stage.SENT and self._is_not_http(fault):
                raise UnacceptableError(_NOT_HTTP, sent=True) from None
            raise BrokenOffError(_BROKEN, sent=self.sent) from None

    def _is_not_http(self, fault: Exception) -> bool:
        """Return whether the parser refused the response.

        httpx's own transport, which proxies need, raises the same for a connection that was closed before a response,
        but without the parser's error behind the one of its network layer.
        """
        _, *causes = _causes(fault)
        return isinstance(fault, httpx.RemoteProtocolError) and (not self._proxied or len(causes) > 1)

    def _not_connected(self, message: str) -> NotConnectedError:
        return NotConnectedError(f"the proxy: {message}" if self._opening_tunnel else message)

    def _connect_error(self, fault: httpx.ConnectError, server_name: str) -> HttpError:
        for cause in _causes(fault):
            if isinstance(cause, ssl.SSLCertVerificationError) and not self._opening_tunnel:
                return _certificate_refused(cause.verify_code, server_name)
            message = _no_connection(cause)
            if message:
                return self._not_connected(message)
        return self._not_connected("the address cannot be reached")


def _no_connection(cause: BaseException) -> str | None:
    """Return why there is no connection according to a cause; `None` if it does not say."""
    match cause:
        case LimitExceededError():
            return cause.message
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case ConnectionRefusedError():
            return "connection refused"
        case ssl.SSLError(reason=reason) if reason in _NO_COMMON_CIPHER:
            return "no TLS version and cipher in common; the server must support TLS 1.3, or TLS 1.2 with ECDHE"
        case ssl.SSLError() | ConnectionResetError():
            return "the TLS handshake failed; the port must serve HTTPS with TLS 1.3, or TLS 1.2 with ECDHE"
    return None


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes; httpx and its network layer wrap several times."""
    cause: BaseException | None = fault
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _proxy_status(fault: httpx.ProxyError) -> str:
    """Return the status of the proxy's response, and nothing else of it."""
    status = str(fault)[:_STATUS_DIGITS]
    return f"HTTP {status}" if status.isascii() and status.isdigit() else "without a status"


_NO_COMMON_CIPHER: Final = ("SSLV3_ALERT_HANDSHAKE_FAILURE", "WRONG_CIPHER_RETURNED")
"""OpenSSL's names for the alert of a server without a common cipher, and for its choice of one not offered."""


def _certificate_refused(code: int, name: str) -> CertificateRefusedError:
    if code in _WRONG_NAME:
        message = f"the server's certificate is not for the name {name[:_MAX_NAME_SHOWN]}"
        return CertificateRefusedError(message, CertificateFault.NAME)
    message = _FAILED_CHECKS.get(code, f"the server's certificate failed OpenSSL's verification (code {code})")
    return CertificateRefusedError(
        message, CertificateFault.AUTHORITY if message is _UNTRUSTED else CertificateFault.OTHER
    )


_WRONG_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_UNTRUSTED = "the server's certificate is not signed by a trusted CA"
_FAILED_CHECKS: Final[Mapping[int, str]] = {
    2: _UNTRUSTED,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: _UNTRUSTED,  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    19: _UNTRUSTED,  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    20: _UNTRUSTED,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _UNTRUSTED,  # X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
}
