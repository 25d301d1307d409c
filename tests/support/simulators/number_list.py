"""The edge `phone_numbers` of a WhatsApp business account, once caller and account are known."""

import base64
from collections.abc import Collection, Sequence
from urllib.parse import urlencode

from support.simulators.call import Call
from support.simulators.cloud_number import CloudNumber
from support.simulators.graph_errors import GraphRefusal, graph_error
from support.simulators.graph_parameters import in_query

NAME = "phone_numbers"

_DEFAULT_LIMIT, _MOST = 25, 100
_DEFAULT_FIELDS = ("verified_name", "display_phone_number", "quality_rating", "id")


def serve(numbers: Sequence[CloudNumber], call: Call, origin: str, token: str) -> dict[str, object]:
    """Return one page of the numbers; its `next` has the token in it, as Meta's has.

    Raises:
        GraphRefusal: it is refused.
    """
    given = dict(in_query(call))
    fields = [name.strip() for name in given.get("fields", "").split(",") if name.strip()] or _DEFAULT_FIELDS
    items = [_item(number, {*fields, "id"}) for number in numbers]
    limit = given.get("limit", str(_DEFAULT_LIMIT))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST:
        raise GraphRefusal(graph_error(100, f"Param limit must be from 1 to {_MOST}"))
    begin = _place(given.get("after", ""), len(items))
    end = begin + int(limit)
    page = items[begin:end]
    if not page:
        return {"data": []}
    paging: dict[str, object] = {"cursors": {"before": _cursor(begin), "after": _cursor(begin + len(page))}}
    if end < len(items):
        query = urlencode({**given, "access_token": token, "after": _cursor(end)})
        paging["next"] = f"{origin}{call.path}?{query}"
    return {"data": page, "paging": paging}


def _item(number: CloudNumber, fields: Collection[str]) -> dict[str, object]:
    members: dict[str, object] = {
        "verified_name": "Jasper's Market",
        "display_phone_number": number.display,
        "quality_rating": "GREEN",
        "platform_type": number.platform,
        "id": number.id,
    }
    for name in fields:
        if name not in members:
            raise GraphRefusal(graph_error(100, f"Tried accessing nonexisting field ({name})"))
    return {name: value for name, value in members.items() if name in fields}


def _cursor(place: int) -> str:
    return base64.b64encode(f"QVFI{place}".encode()).decode()


def _place(cursor: str, count: int) -> int:
    places = {_cursor(place): place for place in range(count + 1)}
    if cursor and cursor not in places:
        raise GraphRefusal(graph_error(100, "Invalid cursors values passed"))
    return places.get(cursor, 0)
