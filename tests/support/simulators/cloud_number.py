"""A phone number on the Cloud API: its answers, and its state, which tests may change from any thread."""

import threading
from collections.abc import Collection
from typing import Literal

from support.simulators.graph_errors import GraphError, GraphRefusal, graph_error
from support.simulators.signed_number import SignedNumber

KEY = "business_public_key"
STATUS = "business_public_key_signature_status"

Envelope = Literal["list", "object", "flat"]
"""How a read is wrapped: `{"data": [{…}]}` as most sources have it, `{"data": {…}}`, or flat as in one guide."""

Unset = Literal["blank", "space", "no data", "no key", "no members"]
"""How a read answers while there is no key: blank and MISMATCH is documented, empty `data` was seen by one client."""


class CloudNumber(SignedNumber):
    """A simulated number; plain attributes may be set at any time.

    Attributes:
        id: The phone number id.
        waba: The id of its WhatsApp business account.
        envelope: How a read is wrapped.
        unset: How a read answers while there is no key.
        maintenance: Whether it is in maintenance; calls are refused with `maintenance_code`.
        deleted: Whether it was deleted.
        eligible: Whether the number is eligible for encryption.
        display: The number as the list of its account's numbers has it.
        platform: The `platform_type` in that list.
        succeeds: The `success` in the answer to a publish; with `False` the key is not stored.
    """

    def __init__(self, number: str, identity: str, waba: str, condition: threading.Condition | None = None) -> None:
        super().__init__(number, condition)
        self.id = identity
        self.waba = waba
        self.envelope: Envelope = "list"
        self.unset: Unset = "blank"
        self.maintenance = False
        self.maintenance_code = 131057
        self.deleted = False
        self.eligible = True
        self.display = _displayed(number)
        self.platform = "CLOUD_API"
        self.succeeds = True

    def __repr__(self) -> str:
        """Show what a failed assertion needs."""
        return f"<CloudNumber {self.number} {self.id}, {self.signature} {self.fingerprint}; {self.summary()}>"

    def refusal(self) -> GraphError | None:
        """Return the error of every call in the number's present state, or `None`."""
        if self.deleted:
            return graph_error(33)
        if self.maintenance:
            return graph_error(self.maintenance_code)
        if not self.registered:
            return graph_error(133010)
        if not self.eligible:
            return graph_error(100, "The number is not eligible for encryption", status=422)
        return None

    def show_key(self, fields: Collection[str]) -> dict[str, object]:
        """Answer a read with these fields, or all where none is named."""
        members = self._members()
        for name in fields:
            if name not in {KEY, STATUS}:
                raise GraphRefusal(graph_error(100, f"Tried accessing nonexisting field ({name})"))
        shown = {name: value for name, value in members.items() if not fields or name in fields}
        if self.envelope == "flat":
            return {**shown}
        if self.key is None and self.unset == "no data":
            return {"data": [] if self.envelope == "list" else {}}
        return {"data": [shown] if self.envelope == "list" else shown}

    def publish(self, public: str) -> dict[str, object]:
        """Answer a publish."""
        if self.succeeds:
            self.take_key(public)
        return {"success": self.succeeds}

    def _members(self) -> dict[str, str]:
        if self.key is not None:
            self.look()
            return {KEY: self.wrap(self.key), STATUS: self.signature}
        members = {KEY: " \n" if self.unset == "space" else "", STATUS: self.signature}
        if self.unset in {"no key", "no members"}:
            del members[KEY]
        if self.unset == "no members":
            del members[STATUS]
        return members


def _displayed(number: str) -> str:
    """Return a number as Meta shows it: +1 555-000-1111."""
    return f"{number[:2]} {number[2:5]}-{number[5:8]}-{number[8:]}"
