"""Lists page by page, each so small that it fits into memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from bek_operator.cluster.client import validating
from bek_operator.cluster.errors import TooLarge
from bek_operator.cluster.response import MOST_BYTES

_PAGE_BYTES: Final = 2 * 1024 * 1024
"""It takes some ten times as much memory while it is parsed."""

Fetch = Callable[[Mapping[str, str], int], Awaitable[dict[str, Any]]]
"""Sends a LIST with a query; raises TooLarge for a response of more than so many bytes."""


async def pages(fetch: Fetch, most: int) -> AsyncIterator[tuple[list[Any], str]]:
    """Yield the items of each page, and the resourceVersion of the list.

    A page has at most so many items and 2 MiB; an item of more has a page of its own. The items are taken back when the
    next page is asked for, so that there is one at a time.

    Raises:
        ClusterError: a request failed.
    """
    limit, token = most, ""
    while True:
        query = {"limit": str(limit), **({"continue": token} if token else {})}
        try:
            page = await fetch(query, _PAGE_BYTES if limit > 1 else MOST_BYTES)
        except TooLarge:
            if limit == 1:
                raise
            limit //= 2
            continue
        with validating("a list"):
            items, version = list(page["items"] or ()), page["metadata"].get("resourceVersion") or ""
            token = page["metadata"].get("continue") or ""
        del page
        yield items, version
        items.clear()
        if not token:
            return
        limit = min(limit + limit // 4 + 1, most)
