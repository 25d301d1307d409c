"""A simulator of a business solution provider that passes the Cloud API on, as 360dialog does.

An address and a header of its own, one API key for each number, and so no id in the path:

    with Provider(["+15550001111"]) as provider:
        provider.url                             # https://127.0.0.1:<port>
        provider.key("+15550001111")             # goes into the header D360-API-KEY

Some providers name the number in the address all the same: `base="/{digits}"` or `base="/v2/{phoneNumberID}"`.
"""

import re
import secrets
from collections.abc import Iterable

from kit import encryption_edge
from kit.call import Call
from kit.cloud_number import CloudNumber
from kit.edge_server import EdgeServer
from kit.graph_errors import GraphRefusal, graph_error
from kit.tls import Certificate, self_signed
from kit.usage import Payer

_WABA = "provider"


class Provider(EdgeServer):
    """A provider with its numbers; plain attributes may be set at any time.

    Attributes:
        header: Where the API key stands.
        unauthorised: What a request without a key that opens something is answered with; its code is a guess.
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
        """Its address, with the placeholders that it was given."""
        return f"{self.origin}{self._base}"

    def add(self, number: str, *, identity: str | None = None) -> CloudNumber:
        """Take in a number and make its key."""
        home = CloudNumber(number, identity or f"20654035{len(self.numbers) + 1:07}", _WABA, self._bell)
        self._put(home)
        self.replace_key(number)
        return home

    def key(self, number: str) -> str:
        """Return the API key of a number."""
        return self._keys[number]

    def replace_key(self, number: str) -> str:
        """Make a new API key; the old one opens nothing any more."""
        with self._bell:
            self._by_key.pop(self._keys.get(number, ""), None)
            key = self._keys[number] = secrets.token_urlsafe(24) + "_AK"
            self._by_key[key] = self[number]
            return key

    # What the API does; the lock is held.

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
