"""The public key of a Secret, and the fingerprint of the key that an API reports.

Only the public half leaves this module, and no message quotes key material.

    ValueError
      InvalidKey     a Secret holds no usable key
      UnreadableKey  an API returned something other than a public key
"""

import base64
import hashlib
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat import asn1

from bek_operator.keys.der import ALGORITHMS, RSA, Content, Kind, RsaPublicKey, public_key_info
from bek_operator.keys.derivation import Derive, derive_here
from bek_operator.keys.parts import NEEDED, is_rsa, part_of, public_key_of, refuse_unusable
from bek_operator.keys.pem import Block, UnusableError, blocks_of_bytes, blocks_of_text, decode_base64
from bek_operator.lru_cache import LRUCache

ENTRIES: Final = ("public.pem", "private.pem", "tls.crt", "tls.key")
"""The only entries that are read when none is named."""

MAX_ENTRY_BYTES: Final = 64 * 1024
MAX_PASSPHRASE_BYTES: Final = 1024
MAX_REMOTE_CHARACTERS: Final = 8 * 1024
"""An RSA key of 16,384 bits takes 2,900 characters."""

_PEM_COLUMNS: Final = 64
_MAX_MESSAGE: Final = 256
_MAX_SHOWN: Final = 63
_MAX_LISTED: Final = 4


class InvalidKey(ValueError):
    """A Secret holds no usable key; the message says what was found and what is needed."""

    def __init__(self, message: str) -> None:
        super().__init__(_cut(message, _MAX_MESSAGE))


class UnreadableKey(ValueError):
    """An API returned something other than a public key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that WhatsApp accepts.

    Attributes:
        pem: SubjectPublicKeyInfo as PEM, as it is published: LF newlines, one at the end.
        fingerprint: `sha256:` and 64 hex digits, of the DER SubjectPublicKeyInfo.
    """

    pem: str = field(repr=False)
    fingerprint: str

    @property
    def key_id(self) -> str:
        """Return the short form of the fingerprint."""
        return key_id(self.fingerprint)


def key_id(fingerprint: str) -> str:
    """Return the first twelve hex digits of a fingerprint."""
    return fingerprint.removeprefix("sha256:")[:12]


def public_key_from_secret(
    data: Mapping[str, bytes], *, entry: str | None, passphrase_entry: str | None, derive: Derive = derive_here
) -> PublicKey:
    """Return the public key in a Secret's decoded data.

    A named entry is the only one read; otherwise all present `ENTRIES` must have the same key. With a named passphrase
    an encrypted private key must be decryptable even beside a public part, because the business's Flows endpoint must
    decrypt it, too. Without one the public part is enough.

    Takes up to six seconds of CPU for encrypted keys, unless `derive` has derived their keys before.

    Raises:
        InvalidKey: There is no usable key, or more than one.
    """
    found: dict[str, PublicKey] = {}
    encrypted: list[str] = []
    for name in entries_of(data, entry):
        try:
            key = _read_entry(data[name], lambda: passphrases_of(data, passphrase_entry), derive)
        except UnusableError as fault:
            raise InvalidKey(f"{_shown(name)} {fault}") from None
        if key is None:
            encrypted.append(name)
        else:
            found[name] = key
    if not found:
        raise InvalidKey(
            f"{_shown(encrypted[0])} is encrypted; set keySecretRef.passphraseKey to the entry with its passphrase"
        )
    (first, key), *others = found.items()
    for name, other in others:
        if other != key:
            raise InvalidKey(f"{_shown(first)} and {_shown(name)} are different keys; they must be the same")
    return key


def exponent_and_modulus(pem: str) -> tuple[int, int]:
    """Return exponent and modulus of a public key that WhatsApp accepts.

    Raises:
        ValueError: It is not one; nothing was computed with it.
    """
    if len(pem) > MAX_REMOTE_CHARACTERS:
        raise UnreadableKey("the public key is too large")
    (block,) = blocks_of_text(pem)
    content = part_of(block).content
    if content.kind is not Kind.PUBLIC or content.algorithm != RSA:
        raise UnreadableKey("not a public RSA key")
    key = asn1.decode_der(RsaPublicKey, content.body)
    refuse_unusable(key)
    return key.e, key.n


def is_usable(pem: str) -> bool:
    """Return whether a text is a public key that WhatsApp accepts."""
    try:
        exponent_and_modulus(pem)
    except ValueError:
        return False
    return True


def remote_fingerprint(text: str) -> str | None:
    """Return the fingerprint of the public key that an API returned; `None` if it is blank.

    The key can be of any algorithm and size.

    Raises:
        UnreadableKey: It is not a public key.
    """
    if len(text) > MAX_REMOTE_CHARACTERS:
        raise UnreadableKey("the public key in the response is too large")
    # All numbers of an object return the same text, check after check; a digest takes less memory than 8 kB of it.
    content = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    found = _REMOTE.get(content)
    if found is None:
        found = _remote(text)
        _REMOTE.put(content, found)
    if not found.is_readable:
        raise UnreadableKey("the public key in the response cannot be parsed")
    return found.fingerprint


@dataclass(frozen=True, slots=True)
class _Remote:
    """What was found out about a text that an API returned; a refusal, too, so that it is not parsed again."""

    fingerprint: str | None = None
    is_readable: bool = True


_REMOTE: Final[LRUCache[bytes, _Remote]] = LRUCache(1024)


def _remote(text: str) -> _Remote:
    try:
        # The BEGIN and END lines may be missing.
        blocks = blocks_of_text(text) or [Block(label="", der=decode_base64(text))]
        if not blocks[0].der and not blocks[0].label:
            return _Remote()
        (block,) = blocks
        return _Remote(_fingerprint(_as_info(part_of(block).content, block.der)))
    except ValueError:
        return _Remote(is_readable=False)


def _as_info(content: Content, der: bytes) -> bytes:
    """Return a public key as SubjectPublicKeyInfo; an RSA key is re-encoded, so that its fingerprint equals ours.

    Raises:
        ValueError: It is not a known public key.
    """
    if content.kind is not Kind.PUBLIC or content.algorithm not in ALGORITHMS:
        raise ValueError
    if content.algorithm != RSA:
        return der
    key = asn1.decode_der(RsaPublicKey, content.body)
    if not is_rsa(key):
        raise ValueError
    return public_key_info(key.n, key.e)


def entries_of(data: Mapping[str, bytes], entry: str | None) -> list[str]:
    """Return the entries that are read; at least one.

    Raises:
        InvalidKey: There is none.
    """
    if entry is not None:
        if entry not in data:
            raise InvalidKey(f"the Secret has no entry {_shown(entry)}; {_listed(data)}")
        return [entry]
    present = [name for name in ENTRIES if name in data]
    if not present:
        raise InvalidKey(
            f"the Secret has none of {', '.join(ENTRIES)}; name an entry in keySecretRef.key; {_listed(data)}"
        )
    # A Secret of type kubernetes.io/tls always has both entries, one of which may be empty.
    return [name for name in present if data[name].strip()] or present


def passphrases_of(data: Mapping[str, bytes], entry: str | None) -> tuple[bytes, ...]:
    """Return the passphrases to try: the entry unchanged, then without a trailing newline."""
    if entry is None:
        return ()
    if entry not in data:
        raise InvalidKey(
            f"the Secret has no entry {_shown(entry)}, which keySecretRef.passphraseKey names; {_listed(data)}"
        )
    value = data[entry]
    if len(value) > MAX_PASSPHRASE_BYTES:
        raise InvalidKey(f"{_shown(entry)} is too long for a passphrase: over {MAX_PASSPHRASE_BYTES} bytes")
    bare = value.removesuffix(b"\n").removesuffix(b"\r")
    if not bare:
        raise InvalidKey(f"{_shown(entry)} is empty; the passphrase of the private key is needed")
    return tuple(dict.fromkeys((value, bare)))


def _read_entry(raw: bytes, passphrases: Callable[[], tuple[bytes, ...]], derive: Derive) -> PublicKey | None:
    """Return the key of an entry; `None` if it is encrypted and no passphrase was named."""
    if len(raw) > MAX_ENTRY_BYTES:
        raise UnusableError(f"is too large for a key: over {MAX_ENTRY_BYTES // 1024} KiB")
    if not raw.strip():
        raise UnusableError(f"is empty; {NEEDED}")
    parts = [part_of(block) for block in blocks_of_bytes(raw)]
    private = [part for part in parts if part.content.kind in {Kind.PRIVATE, Kind.ENCRYPTED}]
    if len(private) > 1:
        raise UnusableError("holds several private keys; keep one of them")
    public = [part for part in parts if part.content.kind is Kind.PUBLIC]
    # In a chain the first certificate is the key's own.
    certificates = [part for part in parts if part.content.kind is Kind.CERTIFICATE][:1]
    found = {key for part in (*public, *certificates, *private) if (key := public_key_of(part, passphrases, derive))}
    if len(found) > 1:
        raise UnusableError("holds different keys; keep one of them")
    return _published(found.pop()) if found else None


def _published(der: bytes) -> PublicKey:
    lines = textwrap.wrap(base64.b64encode(der).decode(), _PEM_COLUMNS)
    pem = "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
    return PublicKey(pem=pem, fingerprint=_fingerprint(der))


def _fingerprint(der: bytes) -> str:
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _listed(data: Mapping[str, bytes]) -> str:
    """Return the names of some entries, for a message."""
    names = sorted(data)
    shown = ", ".join(_cut(name, _MAX_SHOWN // 2) for name in names[:_MAX_LISTED])
    more = " and others" if len(names) > _MAX_LISTED else ""
    return f"it has {shown}{more}" if names else "it is empty"


def _shown(name: str) -> str:
    return _cut(name, _MAX_SHOWN)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
