"""New key pairs, and a Secret's entries with one in place of the old."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from bek_operator.keys.der import Kind
from bek_operator.keys.parts import BITS, part_of
from bek_operator.keys.pem import UnusableError, blocks_of_bytes
from bek_operator.keys.public_key import (
    InvalidKey,
    PublicKey,
    entries_of,
    passphrases_of,
    public_key_from_secret,
)

PREVIOUS = "previous-"
"""What the name of an old private key's entry begins with; such an entry is not read."""

_PRIVATE = frozenset({Kind.PRIVATE, Kind.ENCRYPTED})
_EXPONENT = 65537
_FILE = "the file"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A private key as PEM, encrypted where a passphrase was given, and its public half."""

    private: bytes = field(repr=False)
    public: PublicKey


def generate(data: Mapping[str, bytes], passphrase_entry: str | None) -> NewKey:
    """Make a key pair; takes up to a second of CPU.

    Args:
        data: The decoded data of the Secret that it is for.
        passphrase_entry: The entry of the Secret with which the private key is encrypted; `None` for no encryption.

    Raises:
        InvalidKey: The passphrase cannot be used.
    """
    passphrases = passphrases_of(data, passphrase_entry)
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrases[-1]) if passphrases else NoEncryption()
    made = generate_private_key(_EXPONENT, BITS)
    return read(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), data, passphrase_entry)


def read(private: bytes, data: Mapping[str, bytes], passphrase_entry: str | None) -> NewKey:
    """Read a private key that was made before; the arguments are those of `generate`.

    Raises:
        InvalidKey: It is no private key that can be used.
    """
    public = public_key_from_secret({**data, _FILE: private}, entry=_FILE, passphrase_entry=passphrase_entry)
    if not _kinds(private) & _PRIVATE:
        raise InvalidKey(f"{_FILE} has no private key")
    return NewKey(private, public)


def replaced(
    data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None, new: NewKey
) -> dict[str, bytes]:
    """Return the entries of a Secret that a new key changes; none if it is there.

    An old private key is kept, in an entry of its own.

    Args:
        data: The decoded data of the Secret.
        entry: The only entry that is read; `None` for the usual ones.
        passphrase_entry: The entry with the passphrase, if any.
        new: The new key.

    Raises:
        InvalidKey: The key cannot be put in the place of what is there.
    """
    changed: dict[str, bytes] = {}
    for name in entries_of(data, entry):
        kinds = _kinds(data[name])
        if Kind.CERTIFICATE in kinds:
            raise InvalidKey(f"{name} has a certificate; ask whoever issued it for another one, with a new key")
        if data[name] == new.private:
            continue
        if kinds & _PRIVATE:
            changed |= {name: new.private, f"{PREVIOUS}{name}": data[name]}
        elif Kind.PUBLIC in kinds:
            changed[name] = new.public.pem.encode("ascii")
        else:
            raise InvalidKey(f"{name} cannot be read, so it is not replaced")
    # The operator must be able to read it.
    public_key_from_secret({**data, **changed}, entry=entry, passphrase_entry=passphrase_entry)
    return changed


def _kinds(raw: bytes) -> frozenset[Kind]:
    try:
        return frozenset(part_of(block).content.kind for block in blocks_of_bytes(raw))
    except UnusableError:
        return frozenset()
