"""Names in messages: long ones lose their middle, so that what is said of them fits in."""

from typing import Final

LONGEST_NAME: Final = 60
"""Two names of so many characters, and what is said of them, fit into the message of a row."""


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a text of at most so many characters; of a longer one beginning and end are left."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"
