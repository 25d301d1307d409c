"""From the bytes of a Secret's entry to its PEM blocks.

What happens to a PEM on its way into a Secret is undone here as long as it can only mean one thing: newlines
that were escaped, doubled, folded or lost, quotes, indentation, a byte order mark, text around the blocks.
Whatever is no PEM is named. This module knows nothing of keys.
"""

import base64
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MARKER = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
_CLASSIC_ENCRYPTION = re.compile(
    r"\s*Proc-Type:\s*4,ENCRYPTED\s+DEK-Info:\s*([A-Z0-9-]{1,32}),([0-9A-Fa-f]{1,64})\s(.*)", re.DOTALL
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DER = re.compile(rb"0(?:\x80|\x81.|\x82..|\x83...)", re.DOTALL)
_PKCS12_VERSION = b"\x02\x01\x03"
_BEGIN_IN_BASE64 = "LS0tLS1CRUdJTi"


class UnusableError(ValueError):
    """What an entry is or holds instead of a usable key: the rest of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One PEM block; `cipher` and `iv` (hexadecimal) belong to the classic encryption, empty without it."""

    label: str
    der: bytes = field(repr=False)
    cipher: str = ""
    iv: str = field(default="", repr=False)

    def armored(self) -> bytes:
        """Write the block as the PEM that OpenSSL would have written."""
        headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {self.cipher},{self.iv}\n\n" if self.cipher else ""
        body = base64.encodebytes(self.der).decode()
        return f"-----BEGIN {self.label}-----\n{headers}{body}-----END {self.label}-----\n".encode()


def blocks_of_bytes(raw: bytes) -> list[Block]:
    """Find the PEM blocks of an entry, in order and without repetitions; there is at least one.

    Raises:
        UnusableError: There is none, or one of them is damaged.
    """
    # PowerShell's ">" writes UTF-16; anything that is no UTF-8 can only be text around the blocks.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = raw.decode("utf-16" if utf16 else "utf-8", errors="replace")
    blocks = blocks_of_text(text)
    if not blocks:
        raise UnusableError(next(name for fits, name in _foreign_formats(raw, text) if fits))
    return blocks


def blocks_of_text(text: str) -> list[Block]:
    """Find the PEM blocks of a text, in order and without repetitions.

    Raises:
        UnusableError: One of them is damaged.
    """
    markers = list(_MARKER.finditer(_without_escapes(text)))
    begins, ends = markers[::2], markers[1::2]
    paired = len(begins) == len(ends) and all(
        (begin[1], end[1], begin[2]) == ("BEGIN", "END", end[2]) for begin, end in zip(begins, ends, strict=True)
    )
    if not paired:
        raise UnusableError("is cut off or garbled: its BEGIN and END lines do not pair up")
    blocks = (
        _block(begin[2], begin.string[begin.end() : end.start()]) for begin, end in zip(begins, ends, strict=True)
    )
    return list(dict.fromkeys(blocks))


def decode_base64(text: str) -> bytes:
    """Decode base64 whatever its white space, escaped or not.

    Raises:
        UnusableError: It is no base64.
    """
    try:
        return base64.b64decode("".join(_without_escapes(text).split()), validate=True)
    except ValueError:
        raise UnusableError("is damaged: not base64 between its BEGIN and END lines") from None


def _without_escapes(text: str) -> str:
    # A backslash is part of no PEM: what is left of them escaped a slash, a quote or a line's end.
    return text.replace("\\r", "\n").replace("\\n", "\n").replace("\\", "")


def _block(label: str, body: str) -> Block:
    encrypted = _CLASSIC_ENCRYPTION.match(body)
    if encrypted is None:
        return Block(label=label, der=decode_base64(body))
    cipher, iv, body = encrypted.groups()
    return Block(label=label, der=decode_base64(body), cipher=cipher, iv=iv)


def _foreign_formats(raw: bytes, text: str) -> Iterator[tuple[bool, str]]:
    """Say in turn what an entry without any block may be, the last one being always true."""
    header = _DER.match(raw)
    yield (
        header is not None and raw.startswith(_PKCS12_VERSION, header.end()),
        "is a PKCS#12 file; PEM is needed (openssl pkcs12 -nocerts extracts the key)",
    )
    yield (
        header is not None,
        "is binary DER; PEM is needed (openssl pkey -inform DER or openssl x509 -inform DER convert it)",
    )
    compact = "".join(text.split())
    yield (
        compact.startswith(_BEGIN_IN_BASE64),
        "is a PEM encoded as base64 once too often; the PEM itself is needed (stringData takes it as it is)",
    )
    yield (
        _BASE64.fullmatch(compact) is not None,
        "has no BEGIN and END lines; the whole PEM is needed, with them",
    )
    yield (
        text.startswith("ssh-"),
        "is an OpenSSH public key; PEM is needed (ssh-keygen -e -m PKCS8 converts it)",
    )
    yield "\0" in text or "\ufffd" in text, "is binary data; PEM is needed"
    yield True, "is not PEM: it has no BEGIN line"
