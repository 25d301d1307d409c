"""Splits the bytes of a Secret's entry into PEM blocks.

Damage that is typical of keys in Secrets is repaired if it is unambiguous: newlines that were escaped,
doubled, folded or lost, quotes, indentation, a byte order mark, text around the blocks, base64 applied once or twice
more, missing BEGIN and END lines. Other formats are named in the error. This module knows nothing of keys.
"""

import base64
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bek_operator.keys.der import is_der

_MARKER = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
_CLASSIC_ENCRYPTION = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*([A-Z0-9-]{1,32}),\s*(\S*)(.*)", re.DOTALL
)
_IV_DIGITS: Final = 16
_AES_IV_DIGITS: Final = 32
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,64}")
_AROUND_BASE64: Final = " \t\r\n\"'"
_EXTRA_BASE64_LAYERS: Final = 2
"""How many layers of base64 are removed: one from `stringData` used for `data`, one from a tool that encodes."""


class UnusableError(ValueError):
    """An entry has no usable key; the message is the predicate of a sentence about the entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One PEM block of an entry.

    Attributes:
        label: The label of its BEGIN line, which may be wrong; empty without such a line.
        der: The decoded content; encrypted if there is a cipher.
        cipher: The cipher of the DEK-Info line; empty without it.
        iv: The IV of the DEK-Info line, hexadecimal; empty if it cannot be read.
    """

    label: str
    der: bytes = field(repr=False)
    cipher: str = ""
    iv: str = field(default="", repr=False)


def blocks_of_bytes(raw: bytes) -> list[Block]:
    """Return the blocks of an entry, in order and without duplicates; at least one.

    Raises:
        UnusableError: There is none, or one of them is damaged.
    """
    layer = raw
    for _ in range(1 + _EXTRA_BASE64_LAYERS):
        if is_der(layer):
            return [Block(label="", der=layer)]
        text = _text_of(layer)
        if blocks := blocks_of_text(text):
            return blocks
        inner = _decoded(_without_escapes(text).strip(_AROUND_BASE64))
        if inner is None:
            break
        layer = inner
    raise UnusableError(next(name for fits, name in _foreign_formats(_text_of(raw)) if fits))


def blocks_of_text(text: str) -> list[Block]:
    """Return the PEM blocks of a text, in order and without duplicates.

    Raises:
        UnusableError: One of them is damaged.
    """
    markers = list(_MARKER.finditer(_without_escapes(text)))
    begins, ends = markers[::2], markers[1::2]
    paired = len(begins) == len(ends) and all(
        (begin[1], end[1], begin[2]) == ("BEGIN", "END", end[2]) for begin, end in zip(begins, ends, strict=True)
    )
    if not paired:
        raise UnusableError("is truncated or garbled: its BEGIN and END lines do not match")
    blocks = (
        _block(begin[2], begin.string[begin.end() : end.start()]) for begin, end in zip(begins, ends, strict=True)
    )
    return list(dict.fromkeys(blocks))


def decode_base64(text: str) -> bytes:
    """Decode base64 with any white space, escaped or not.

    Raises:
        UnusableError: It is not base64.
    """
    decoded = _decoded(_without_escapes(text))
    if decoded is None:
        raise UnusableError("is damaged: not base64 between its BEGIN and END lines")
    return decoded


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None


def _text_of(raw: bytes) -> str:
    # PowerShell's ">" writes UTF-16. Bytes that are not UTF-8 can only be in text around the blocks.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if utf16 else "utf-8", errors="replace").removeprefix("\ufeff")


def _without_escapes(text: str) -> str:
    # PEM has no backslashes: the remaining ones escaped a slash, a quote or a line's end.
    return text.replace("\\r", "\n").replace("\\n", "\n").replace("\\", "")


def _block(label: str, body: str) -> Block:
    encrypted = _CLASSIC_ENCRYPTION.match(body)
    if encrypted is None:
        return Block(label=label, der=decode_base64(body))
    cipher, iv, body = encrypted.groups()
    if not _HEXADECIMAL.fullmatch(iv):
        # The newline after the IV was lost.
        digits = _AES_IV_DIGITS if cipher.startswith("AES") else _IV_DIGITS
        iv, body = iv[:digits], iv[digits:] + body
    return Block(label=label, der=decode_base64(body), cipher=cipher, iv=iv if _HEXADECIMAL.fullmatch(iv) else "")


def _foreign_formats(text: str) -> Iterator[tuple[bool, str]]:
    """Yield descriptions of an entry without blocks, each with whether it applies; the last one always does."""
    yield (
        _decoded(text) is not None,
        "has no BEGIN and END lines; the whole PEM is needed, with them",
    )
    yield (
        text.startswith("ssh-"),
        "is an OpenSSH public key; PEM is needed (ssh-keygen -e -m PKCS8 converts it)",
    )
    yield "\0" in text or "\ufffd" in text, "is binary data; PEM is needed"
    yield True, "is not PEM: it has no BEGIN line"
