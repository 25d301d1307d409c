"""HTTP: how far a request came, and our own errors in place of the library's, which hold the request."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

import httpx

from bek_operator.http.exchange import (
    BrokenOffError,
    CertificateFault,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.metered_tls import GivenUpError
from bek_operator.http.transport import CONNECTING, SENDING

_LONGEST_SHOWN_NAME = 60
_STATUS_DIGITS = 3


class _Stage(Enum):
    """How far a request has come; the value says what is missing if it ends there."""

    LOOKUP = "the name was not looked up"
    OPEN = "no connection with TLS"
    CONNECT = "no connection"
    TUNNEL = "no way through the proxy"
    HANDSHAKE = "no TLS handshake"
    SENT = "no whole answer"


_TUNNELLED: Final = "proxy.start_tls.started"
_STAGES: Final = {
    CONNECTING: _Stage.OPEN,
    "connection.connect_tcp.started": _Stage.CONNECT,
    "connection.start_tls.started": _Stage.HANDSHAKE,
    _TUNNELLED: _Stage.HANDSHAKE,
    SENDING: _Stage.SENT,
}


class Progress:
    """Watch how far a request comes, by the library's own account.

    Through a proxy there is a request before ours, for the tunnel; it is told apart by coming before the handshake
    within the tunnel.
    """

    def __init__(self, *, proxied: bool) -> None:
        self._stage = _Stage.LOOKUP
        self._proxied = proxied
        self._at_proxy = False

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        """Hear of an event."""
        stage = _STAGES.get(event, self._stage)
        if stage is _Stage.CONNECT:
            self._at_proxy = self._proxied
        elif event == _TUNNELLED:
            self._at_proxy = False
        self._stage = _Stage.TUNNEL if stage is _Stage.SENT and self._at_proxy else stage

    @property
    def sent(self) -> bool:
        """Whether the request itself may have left."""
        return self._stage is _Stage.SENT

    def too_slow(self, seconds: float) -> TooSlowError:
        """Say what did not come about in the time for the whole call."""
        return TooSlowError(f"{self._stage.value} within {seconds:g} s", sent=self.sent)

    @contextmanager
    def own_errors(self, server_name: str, connect_seconds: float) -> Iterator[None]:
        """Turn what the library raises into our own errors, cut off from the library's."""
        try:
            yield
        except HttpError:
            raise
        except httpx.ConnectTimeout:
            raise self._not_connected(f"{self._stage.value} within {connect_seconds:g} s") from None
        except httpx.ConnectError as fault:
            raise self._connect_error(fault, server_name) from None
        except httpx.ProxyError as fault:
            raise NotConnectedError(f"the proxy refuses the way there ({_proxy_status(fault)})") from None
        # httpx lets some errors of TLS through as they are, and a name that cannot be sent is a ValueError.
        except (httpx.HTTPError, OSError, ValueError) as fault:
            given_up = next((cause for cause in _causes(fault) if isinstance(cause, GivenUpError)), None)
            if given_up:
                raise UnacceptableError(given_up.message, sent=self.sent) from None
            if self._at_proxy:
                raise self._not_connected("the connection broke off, or what came over it was not HTTP") from None
            raise BrokenOffError(
                "the connection broke off, or what came over it was not HTTP", sent=self.sent
            ) from None

    def _not_connected(self, message: str) -> NotConnectedError:
        return NotConnectedError(f"the proxy: {message}" if self._at_proxy else message)

    def _connect_error(self, fault: httpx.ConnectError, server_name: str) -> HttpError:
        for cause in _causes(fault):
            if isinstance(cause, ssl.SSLCertVerificationError) and not self._at_proxy:
                return _certificate_refused(cause.verify_code, server_name)
            message = _no_connection(cause)
            if message:
                return self._not_connected(message)
        return self._not_connected("the address cannot be reached")


def _no_connection(cause: BaseException) -> str | None:
    """Return what a cause says of why there is no connection; `None` where it says nothing."""
    match cause:
        case GivenUpError():
            return cause.message
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case ConnectionRefusedError():
            return "connection refused"
        case ssl.SSLError(reason=reason) if reason in _NOTHING_IN_COMMON:
            return "the server and this operator have no way of TLS in common; it needs TLS 1.3, or TLS 1.2 and ECDHE"
        case ssl.SSLError() | ConnectionResetError():
            return "the TLS handshake failed; is this an HTTPS port, with TLS 1.3, or TLS 1.2 and ECDHE?"
    return None


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Follow the chain of causes; httpx wraps twice, and its network layer once or twice."""
    cause: BaseException | None = fault
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _proxy_status(fault: httpx.ProxyError) -> str:
    """Return the status that the proxy answered; what else it said is not repeated."""
    status = str(fault)[:_STATUS_DIGITS]
    return f"HTTP {status}" if status.isascii() and status.isdigit() else "without a status"


_NOTHING_IN_COMMON: Final = ("SSLV3_ALERT_HANDSHAKE_FAILURE", "WRONG_CIPHER_RETURNED")
"""OpenSSL's names for what a server answers that finds no cipher it could use, and for one that was not offered."""


def _certificate_refused(code: int, name: str) -> CertificateRefusedError:
    if code in _WRONG_NAME:
        message = f"the server's certificate is not for the name {name[:_LONGEST_SHOWN_NAME]}"
        return CertificateRefusedError(message, CertificateFault.NAME)
    message = _FAILED_CHECKS.get(code, f"the server's certificate fails OpenSSL's check {code}")
    return CertificateRefusedError(
        message, CertificateFault.AUTHORITY if message is _UNKNOWN else CertificateFault.OTHER
    )


_WRONG_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_UNKNOWN = "the server's certificate is not from an authority that is trusted for it"
_FAILED_CHECKS: Final[Mapping[int, str]] = {
    2: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: _UNKNOWN,  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    19: _UNKNOWN,  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    20: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
}
