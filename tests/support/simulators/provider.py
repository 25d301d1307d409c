"""A simulator of a business solution provider that offers the Cloud API's protocol, as 360dialog does.

An address and a header of its own, one API key for each number, and so no id in the path:

    with Provider(["+15550001111"]) as provider:
        provider.url                             # https://127.0.0.1:<port>
        provider.key("+15550001111")             # goes into the header D360-API-KEY

Some providers name the number in the address all the same: `base="/{digits}"` or `base="/v2/{phoneNumberID}"`.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from support.simulators import encryption_edge
from support.simulators.call import Call
from support.simulators.cloud_number import CloudNumber
from support.simulators.edge_server import EdgeServer
from support.simulators.exchange import Reply
from support.simulators.graph_errors import GraphError, GraphRefusal, graph_error
from support.simulators.usage import Payer
from support.tls import Certificate, self_signed

_WABA = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderError(GraphError):
    """An error of 360dialog's own: it has no code, and its envelope is not the Graph API's."""

    def reply(self, trace: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Make the answer, without the headers of Meta's."""
        del trace, headers
        meta = {"httpCode": self.status, "developerMessage": self.message, "success": False}
        return Reply.json({"meta": meta}, self.status, self.headers)


def provider_error(message: str, status: int = 400) -> ProviderError:
    """Make an error with these words, which 360dialog documents at docs.360dialog.com/docs/support."""
    return ProviderError(code="", status=status, message=message)


DISABLED = provider_error(
    "Your WhatsApp for Business API has been disabled. If you believe this is a mistake, please contact our support "
    "team."
)
TOO_MANY = provider_error("You have exceeded the limit of 1 request every 5 seconds. Try again later.")
TOO_MANY_AT_ENDPOINT = provider_error("You have exceeded the endpoint rate limit.")
UNPAID = provider_error(
    "Could not send message due to lack of payment. Messaging can resume once overdue invoices towards 360Dialog are "
    "settled. Please reach out to our integration partner."
)
WRONG_KEY = provider_error("Invalid api_key or token expired", 401)
BLOCKED = provider_error(
    "This URL *** is blocked. More info: https://docs.360dialog.com/whatsapp-api/whatsapp-api", 403
)
BROKEN = provider_error("Internal server error", 500)
AWAY = provider_error("WhatsApp for Business API not available", 502)
UNHEARD_OF = provider_error("The moon is in the seventh house")


class Provider(EdgeServer):
    """A provider with its numbers; plain attributes may be set at any time.

    Attributes:
        header: The header with the API key.
        unauthorised: The error of a request without a valid API key; its code is a guess.
    """

    def __init__(
        self,
        phone_numbers: Iterable[str] = (),
        *,
        header: str = "D360-API-KEY",
        base: str = "",
        certificate: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(certificate or self_signed("waba.provider.example", "localhost", "127.0.0.1"), host)
        self.header = header
        self.unauthorised = graph_error(190, "Invalid API key")
        self._base = base
        escaped = re.escape(f"{base}/{encryption_edge.NAME}")
        digits, identity = re.escape("{digits}"), re.escape("{phoneNumberID}")
        self._path = re.compile(escaped.replace(digits, "(?P<digits>[0-9]+)").replace(identity, "(?P<identity>[0-9]+)"))
        self._by_key: dict[str, CloudNumber] = {}
        self._keys: dict[str, str] = {}
        for number in phone_numbers:
            self.add(number)

    @property
    def url(self) -> str:
        """Its URL, with the placeholders of `base`."""
        return f"{self.origin}{self._base}"

    def add(self, number: str, *, identity: str | None = None) -> CloudNumber:
        """Add a number and make its API key."""
        home = CloudNumber(number, identity or f"20654035{len(self.numbers) + 1:07}", _WABA, self._condition)
        self._put(home)
        self.replace_key(number)
        return home

    def key(self, number: str) -> str:
        """Return the API key of a number."""
        return self._keys[number]

    def replace_key(self, number: str) -> str:
        """Make a new API key; the old one is revoked."""
        with self._condition:
            self._by_key.pop(self._keys.get(number, ""), None)
            key = self._keys[number] = secrets.token_urlsafe(24) + "_AK"
            self._by_key[key] = self[number]
            return key

    # The API itself; called with the lock held.

    def _find(self, call: Call) -> CloudNumber | None:
        return self._by_key.get(self._sent(call))

    def _payer(self, call: Call, number: CloudNumber | None) -> Payer | None:
        del call
        return None if number is None else Payer(token=number.number, number=number.id)

    def _secrets(self, call: Call, number: CloudNumber | None) -> Iterable[tuple[str, str]]:
        del call
        for one in self._keys if number is None else [number.number]:
            yield f"the API key of {one}", self._keys[one]

    def _handle(self, call: Call, number: CloudNumber | None) -> dict[str, object]:
        match = self._path.fullmatch(call.path)
        if match is None:
            raise GraphRefusal(graph_error(2500, "Unknown path components", status=404))  # a guess
        if number is None:
            raise GraphRefusal(self.unauthorised)
        named = match.groupdict()
        if named.get("digits", number.digits) != number.digits or named.get("identity", number.id) != number.id:
            raise GraphRefusal(graph_error(803))
        if call.method not in {"GET", "POST"}:
            raise GraphRefusal(graph_error(100, "Unsupported method", status=405))  # a guess
        return encryption_edge.serve(number, call, self.accepts)

    def _sent(self, call: Call) -> str:
        return call.headers.get(self.header.lower(), "")
