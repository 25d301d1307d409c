"""A cache of parsed keys, so that a shared Secret, or one whose metadata changed, is parsed once."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bek_operator.keys.derivation import Derivation
from bek_operator.keys.encryption import ADVICE
from bek_operator.keys.pem import UnusableError
from bek_operator.keys.public_key import InvalidKey, PublicKey, public_key_from_secret
from bek_operator.lru_cache import LRUCache
from bek_operator.single_flight import SingleFlight

_SIZE = 1024

Derived = bytes | None
"""A derived key; `None` where its derivation exceeded the limits."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A key that must be derived before a Secret's key can be parsed.

    Attributes:
        content: Marks the content of the Secret.
        step: How many keys were derived for that content before.
        derivation: What to derive.
    """

    content: bytes = field(repr=False)
    step: int
    derivation: Derivation


class _NotDerivedError(Exception):
    """A key was not derived yet. No ValueError, because nothing is wrong with it."""

    def __init__(self, derivation: Derivation) -> None:
        super().__init__()
        self.derivation = derivation


class KeyCache:
    """Parsed keys by an HMAC of the Secret's content, with a random key of this process.

    No costly key is derived here. `parse` returns what it needs; when the caller has derived it, and has told so by
    `derived`, the next `parse` of the same content comes further. Parsing the same content always asks for the same
    keys in the same order, so the derived ones are kept without what they were derived from, until the parsing ends.
    """

    def __init__(self) -> None:
        self._digest_key = secrets.token_bytes(32)
        self._parsed: LRUCache[bytes, PublicKey | InvalidKey] = LRUCache(_SIZE)
        self._derived: LRUCache[bytes, tuple[Derived, ...]] = LRUCache(_SIZE)
        self._flights: SingleFlight[bytes, PublicKey | InvalidKey | Needed] = SingleFlight()

    async def parse(
        self, data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None
    ) -> PublicKey | Needed:
        """Return the public key of a Secret, or what must be derived first; it is parsed in a thread.

        A refusal because a derivation exceeded the limits is not remembered: the machine may have been busy.

        Raises:
            InvalidKey: the Secret holds no usable key.
        """
        content = self._digest(data, entry, passphrase_entry)
        found = self._parsed.get(content) or await self._flights.do(
            content, partial(self._parse, content, partial(_parse, data, entry, passphrase_entry))
        )
        if isinstance(found, InvalidKey):
            raise InvalidKey(str(found))
        return found

    def lacks(self, needed: Needed) -> bool:
        """Return whether a key must still be derived; several objects may need the same one."""
        return self._parsed.get(needed.content) is None and len(self._derived_for(needed.content)) == needed.step

    def derived(self, needed: Needed, key: Derived) -> None:
        """Keep a derived key until the next `parse`, unless there is one already."""
        if self.lacks(needed):
            self._derived.put(needed.content, (*self._derived_for(needed.content), key))

    def _derived_for(self, content: bytes) -> tuple[Derived, ...]:
        return self._derived.get(content) or ()

    async def _parse(
        self, content: bytes, parse: Callable[[tuple[Derived, ...]], PublicKey | InvalidKey | Derivation]
    ) -> PublicKey | InvalidKey | Needed:
        derived = self._derived_for(content)
        found = await asyncio.to_thread(parse, derived)
        if isinstance(found, Derivation):
            return Needed(content, len(derived), found)
        self._derived.drop(content)
        if None not in derived:
            self._parsed.put(content, found)
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


_GIVEN_UP: Final = f"takes too much time or memory to decrypt; {ADVICE}"


def _parse(
    data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None, derived: tuple[Derived, ...]
) -> PublicKey | InvalidKey | Derivation:
    remaining = iter(derived)

    def derive(derivation: Derivation) -> bytes:
        if derivation.is_cheap:
            return derivation.run()
        try:
            key = next(remaining)
        except StopIteration:
            raise _NotDerivedError(derivation) from None
        if key is None:
            raise UnusableError(_GIVEN_UP)
        return key

    try:
        return public_key_from_secret(data, entry=entry, passphrase_entry=passphrase_entry, derive=derive)
    except InvalidKey as fault:
        return InvalidKey(str(fault))
    except _NotDerivedError as needed:
        return needed.derivation
