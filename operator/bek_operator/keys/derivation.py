"""A symmetric key to derive from a passphrase, as a value, so that whoever parses a key need not derive it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bek_operator.keys import derive

_CHEAP_ROUNDS: Final = 20_000
"""Take 4 ms with PBKDF2, 15 with PKCS#12; OpenSSL writes 2,048, `cryptography` 20,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A key to derive; the attributes are the arguments of `derive.derive`, within the limits of `encryption`."""

    scheme: str
    costs: tuple[int, ...]
    size: int
    salt: bytes = field(repr=False)
    passphrase: bytes = field(repr=False)

    @property
    def is_cheap(self) -> bool:
        """Whether it costs no more than the start of a process."""
        return self.scheme != derive.SCRYPT and max(self.costs) <= _CHEAP_ROUNDS

    @property
    def request(self) -> bytes:
        """What the program `derive` reads."""
        return derive.request(self.scheme, self.costs, self.size, self.salt, self.passphrase)

    def run(self) -> bytes:
        """Return the key; takes up to a second of CPU, and 32 MiB."""
        return derive.derive(self.scheme, self.costs, self.size, self.salt, self.passphrase)


Derive = Callable[[Derivation], bytes]
"""Returns the key, or raises what ends the parsing, such as an `UnusableError`."""


def derive_here(derivation: Derivation) -> bytes:
    """Derive a key in this thread."""
    return derivation.run()
