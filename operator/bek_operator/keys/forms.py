"""What form each entry of a Secret's key material has, in words."""

from collections.abc import Mapping, Sequence
from typing import Final

from bek_operator.keys.der import Kind
from bek_operator.keys.parts import SHOWN_LABELS, Part, part_of
from bek_operator.keys.pem import UnusableError, blocks_of_bytes
from bek_operator.keys.public_key import ENTRIES, MAX_ENTRY_BYTES

_WORDS: Final[Mapping[Kind, str]] = {
    Kind.PRIVATE: "private key",
    Kind.ENCRYPTED: "encrypted private key",
    Kind.PUBLIC: "public key",
    Kind.CERTIFICATE: "certificate",
}


def forms_of(data: Mapping[str, bytes], entry: str | None) -> Mapping[str, Sequence[str]]:
    """Return for each entry that is read what it contains, such as `private key (RSA PRIVATE KEY)`.

    An entry that cannot be read has no forms; `public_key_from_secret` says why.
    """
    names = [name for name in (ENTRIES if entry is None else (entry,)) if name in data]
    return {name: _forms(data[name]) for name in names}


def _forms(raw: bytes) -> Sequence[str]:
    if len(raw) > MAX_ENTRY_BYTES:
        return ()
    try:
        return [_form(part_of(block)) for block in blocks_of_bytes(raw)]
    except UnusableError:
        return ()


def _form(part: Part) -> str:
    # Another label is arbitrary text, so it is not shown.
    label = part.block.label if part.block.label in SHOWN_LABELS else ""
    return f"{_WORDS[part.content.kind]} ({label or 'DER, or a PEM without a known label'})"
