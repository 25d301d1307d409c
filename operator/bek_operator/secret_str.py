"""A value that must not be printed: passwords, tokens, passphrases."""

import hashlib
import hmac
import secrets

_PROCESS_KEY = secrets.token_bytes(32)


class SecretStr:
    """Hold a secret text that no `repr`, log line or traceback shows.

    Two of them are compared by a digest keyed with a random key of this process, so that a digest is worth
    nothing elsewhere; `reveal` is the only way to the text.
    """

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hmac.digest(_PROCESS_KEY, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def reveal(self) -> str:
        """Return the text, for the one place that sends it."""
        return self._text

    @property
    def tag(self) -> str:
        """Return a short name for it that tells it from others in this process, and nobody anything elsewhere."""
        return self._digest.hex()[:8]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and hmac.compare_digest(self._digest, other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "Hidden()"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a hidden value is not to be pickled or copied elsewhere")
