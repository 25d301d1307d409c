"""A cache of parsed keys, so that a shared Secret, or one whose metadata changed, is parsed once."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import partial

from bek_operator.keys.public_key import InvalidKey, PublicKey, public_key_from_secret
from bek_operator.lru_cache import LRUCache
from bek_operator.single_flight import SingleFlight

_SIZE = 1024


class KeyCache:
    """Parsed keys by an HMAC of the Secret's content, with a random key of this process."""

    def __init__(self) -> None:
        self._digest_key = secrets.token_bytes(32)
        self._parsed: LRUCache[bytes, PublicKey | InvalidKey] = LRUCache(_SIZE)
        self._flights: SingleFlight[bytes, PublicKey | InvalidKey] = SingleFlight()

    async def parse(self, data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None) -> PublicKey:
        """Return the public key of a Secret; it is parsed in a thread, because decryption can take seconds.

        Raises:
            InvalidKey: the Secret holds no usable key.
        """
        digest = self._digest(data, entry, passphrase_entry)
        found = self._parsed.get(digest)
        if found is None:
            parse = partial(asyncio.to_thread, _parse, data, entry, passphrase_entry)
            found = await self._flights.do(digest, parse)
            self._parsed.put(digest, found)
        if isinstance(found, InvalidKey):
            raise InvalidKey(str(found))
        return found

    def _digest(self, data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None) -> bytes:
        digest = hmac.new(self._digest_key, digestmod=hashlib.sha256)
        for part in (
            repr((entry, passphrase_entry)).encode(),
            *(part for item in sorted(data.items()) for part in item),
        ):
            raw = part.encode() if isinstance(part, str) else part
            digest.update(len(raw).to_bytes(8, "big") + raw)
        return digest.digest()


def _parse(data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None) -> PublicKey | InvalidKey:
    try:
        return public_key_from_secret(data, entry=entry, passphrase_entry=passphrase_entry)
    except InvalidKey as fault:
        return InvalidKey(str(fault))
