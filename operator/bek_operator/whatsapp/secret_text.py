r"""Texts of Secrets that can hardly be what they should be: in quotes, `NAME=value`, a placeholder, a literal `\n`.

What is wrong is said in our own words, which go behind "the access token" and the like; nothing of a text is shown.
A password or a provider's API key may be any text, so of those it is a hint for whoever reads that it was refused.
"""

import re
from typing import Final

_QUOTE: Final = "[\"'`\u2018\u2019\u201c\u201d]"
_FLAWS: Final = (
    (re.compile(f"{_QUOTE}.*{_QUOTE}", re.DOTALL), "is in quotes"),
    (re.compile(f"{_QUOTE}.*|.*{_QUOTE}", re.DOTALL), "begins or ends with a quotation mark"),
    (re.compile(r'\{\s*".*\}', re.DOTALL), "is a JSON object"),
    (re.compile(r"bearer\s.*", re.DOTALL | re.IGNORECASE), "begins with the word Bearer"),
    # What is nothing but padding behind its equals sign is base64 text.
    (
        re.compile(r"(export\s+)?[A-Za-z_][A-Za-z0-9_]{0,63}=(?!=*$).+", re.DOTALL),
        "begins with a name and an equals sign, like a line of an .env file",
    ),
    (re.compile(r"<.*>|\$?\{.*\}|\$\(.*\)|%.*%", re.DOTALL), "is a placeholder"),
    (
        re.compile(
            r"(?=.{1,64}\Z)([a-z]+[_-])*"
            r"(your[a-z]*|(change|replace|insert|enter|paste)(me|it|this)?|todo|fixme|placeholder|example|dummy|x{3,})"
            r"([_-][a-z]+)*",
            re.IGNORECASE,
        ),
        "is a placeholder",
    ),
    (re.compile(r".*\\[nrt].*", re.DOTALL), "has a backslash and a letter for a line break or tab in it"),
    (re.compile(r".*[\r\n].*", re.DOTALL), "has more than one line"),
    (re.compile(r"\s.*|.*\s", re.DOTALL), "has blanks around it"),
)
_OF_META: Final = "EA"
_OF_META_ENCODED: Final = "RUF"
"""How base64 of such a token begins."""


def flaw_of(text: str) -> str:
    """Return what is wrong with a text that is to be a credential; empty if nothing is seen to be."""
    return next((message for pattern, message in _FLAWS if pattern.fullmatch(text)), "")


def flaw_of_access_token(text: str) -> str:
    """Return what is, or seems to be, wrong with a text that is to be an access token of Meta; empty likewise."""
    if flaw := flaw_of(text):
        return flaw
    if text.startswith(_OF_META_ENCODED):
        return "is base64 text; a Secret's `data` is decoded once, and `stringData` takes it bare"
    return "" if text.startswith(_OF_META) else f"does not begin with {_OF_META}, as those of Meta do"
