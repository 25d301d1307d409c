"""Reads no more of a response than fits into memory."""

from typing import Final

import aiohttp

from bek_operator.cluster.errors import TooLarge

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one response. etcd takes objects of 1.5 MiB; their JSON can be some times as large."""


async def read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of a response; one that is too large is not read to its end.

    Raises:
        TooLarge: it has more than `most` bytes.
    """
    chunks, size = list[bytes](), 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            # What is left of it is not waited for.
            response.close()
            raise TooLarge(f"{response.method} {response.url.path}: the response has more than {most} bytes")
    return b"".join(chunks)
