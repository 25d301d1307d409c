"""The phone numbers of a WhatsApp Business Account, as the Cloud API lists them.

https://developers.facebook.com/docs/graph-api/reference/whats-app-business-account/phone_numbers/
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from bek_operator.crd.parse import IDENTITY, PHONE_NUMBER
from bek_operator.crd.reasons import Reason
from bek_operator.http.interface import HttpClient, Response
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.whatsapp.calls import send
from bek_operator.whatsapp.cloud.requests import call_of, proof_of
from bek_operator.whatsapp.cloud.responses import failure_from
from bek_operator.whatsapp.documents import parse_object
from bek_operator.whatsapp.error_classes import SUCCESS
from bek_operator.whatsapp.message_context import MessageContext

NUMBERS_PATH: Final = "/phone_numbers"
MOST_PAGES: Final = 20

_PAGE: Final = 100
_FIELDS: Final = "id,display_phone_number,platform_type"
_ON_CLOUD: Final = "CLOUD_API"
_LONGEST_DISPLAY: Final = 40
_LONGEST_CURSOR: Final = 1024
_SEPARATORS = re.compile(r"[\s().\-\u2010-\u2015\u200e\u200f\u202a-\u202e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNumber:
    """A phone number of an account.

    Attributes:
        identity: Its phone number id; empty if the API gave none that is usable.
        number: The number as "+" and digits; empty if it cannot be read.
        fault: Why it cannot be used; empty for nothing. Without any text of the API.
    """

    identity: str = ""
    number: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the list; `after` is the cursor for the next one, empty on the last."""

    numbers: tuple[ListedNumber, ...]
    after: str = field(default="", repr=False)


async def numbers_of(
    http: HttpClient, account: CloudEndpoint, now: Callable[[], datetime]
) -> tuple[ListedNumber, ...] | Failure:
    """Return all numbers of an account, whose endpoint ends with its id; or why they cannot be listed."""
    proof = proof_of(account)
    found: list[ListedNumber] = []
    query = {**proof, "fields": _FIELDS, "limit": str(_PAGE)}
    for _ in range(MOST_PAGES):
        call = call_of(account, NUMBERS_PATH, query=query)
        if isinstance(call, Failure):
            return call
        page, _ = await send(http, call, partial(page_from, now=now(), context=call.context, proof_sent=bool(proof)))
        if isinstance(page, Failure):
            return page
        found += page.numbers
        if not page.after:
            return tuple(found)
        # Not the URL in `next`: it has the token in its query, and could name any host.
        query["after"] = page.after
    message = f"the list of phone numbers has more than {MOST_PAGES} pages"
    return Failure(reason=Reason.INVALID_ANSWER, message=message, retry=Retry.TERMINAL)


def page_from(response: Response, now: datetime, context: MessageContext, *, proof_sent: bool) -> Page | Failure:
    """Parse the response to a request for one page."""
    document = parse_object(response.body) or {}
    data = document.get("data")
    after = _after(document.get("paging"))
    if response.status in SUCCESS and not document.get("error") and isinstance(data, list) and after is not None:
        return Page(numbers=tuple(map(_listed, data)), after=after)
    return failure_from(response, document, now, context, proof_sent=proof_sent, of_account=True)


def e164(display: str) -> str:
    """Return a number as "+" and digits; empty if it has another form than `display_phone_number`, with country code.

    The API writes +1 555-000-1111, and some of its pages 15550001111.
    """
    text = _SEPARATORS.sub("", display) if len(display) <= _LONGEST_DISPLAY else ""
    number = f"+{text.removeprefix('+')}"
    return number if PHONE_NUMBER.fullmatch(number) else ""


def _listed(item: object) -> ListedNumber:
    members: Mapping[str, Any] = item if isinstance(item, dict) else {}
    identity, display, platform = (members.get(name) for name in _FIELDS.split(","))
    if not isinstance(identity, str) or not IDENTITY.fullmatch(identity):
        return ListedNumber(fault="it has no usable id")
    number = e164(display) if isinstance(display, str) else ""
    if not number:
        return ListedNumber(identity=identity, fault="its display_phone_number cannot be read")
    if platform is not None and platform != _ON_CLOUD:
        return ListedNumber(identity=identity, number=number, fault="it is not registered with the Cloud API")
    return ListedNumber(identity=identity, number=number)


def _after(paging: object) -> str | None:
    """Return the cursor for the next page, empty on the last one; `None` if there is a next page without a cursor."""
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) and 0 < len(after) <= _LONGEST_CURSOR else None
