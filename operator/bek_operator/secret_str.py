"""Secret text that must not be printed: passwords, tokens, passphrases."""

import hashlib
import hmac
import secrets

_PROCESS_KEY = secrets.token_bytes(32)


class SecretStr:
    """Holds a secret text that no `repr`, log line or traceback shows; `reveal` is the only way to it.

    Compared by an HMAC with a random key of this process, so that the digest is useless elsewhere.
    """

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hmac.digest(_PROCESS_KEY, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    @property
    def tag(self) -> str:
        """Return a short identifier that is valid in this process only."""
        return self._digest.hex()[:8]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and hmac.compare_digest(self._digest, other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "SecretStr()"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a SecretStr cannot be pickled or deep-copied")
