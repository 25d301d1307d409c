"""Authorities: what a text with certificates to trust must be like before anything tries to parse it."""

from typing import Final

MAX_CHARACTERS: Final = 64 * 1024
MAX_CERTIFICATES: Final = 100

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"


def check_authorities(text: str) -> None:
    """Make sure that a text is of a bearable size, and that its certificates begin and end.

    Raises:
        ValueError: It is not so; the message says why, shows nothing of the text, and may be shown.
    """
    count = text.count(_BEGIN)
    if len(text) > MAX_CHARACTERS or count > MAX_CERTIFICATES:
        raise ValueError(f"is larger than {MAX_CHARACTERS // 1024} KiB or {MAX_CERTIFICATES} certificates")
    if not count:
        raise ValueError(f"holds no certificate in PEM form (none begins with {_BEGIN})")
    if text.count(_END) != count:
        raise ValueError("holds a certificate that is cut short")
