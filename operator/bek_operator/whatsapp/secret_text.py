r"""Typical mistakes in the credentials of a Secret: quotes, `NAME=value`, a placeholder, a literal `\n`.

A flaw is a phrase that follows "the access token" and the like; it never shows any of the text. A password or a
provider's API key may be any text, so their flaws are shown only once the API refuses them.
"""

import re
from typing import Final

_QUOTE: Final = "[\"'`\u2018\u2019\u201c\u201d]"
_FLAWS: Final = (
    (re.compile(f"{_QUOTE}.*{_QUOTE}", re.DOTALL), "is in quotes"),
    (re.compile(f"{_QUOTE}.*|.*{_QUOTE}", re.DOTALL), "begins or ends with a quotation mark"),
    (re.compile(r'\{\s*".*\}', re.DOTALL), "is a JSON object"),
    (re.compile(r"bearer\s.*", re.DOTALL | re.IGNORECASE), "begins with the word Bearer"),
    # Nothing but padding after the equals sign is base64.
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
    (re.compile(r".*\\[nrt].*", re.DOTALL), "contains a literal \\n, \\r or \\t"),
    (re.compile(r".*[\r\n].*", re.DOTALL), "has more than one line"),
    (re.compile(r"\s.*|.*\s", re.DOTALL), "has whitespace around it"),
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9]{65,}")
_META_PREFIX: Final = "EA"
_META_PREFIX_BASE64: Final = "RUF"


def flaw_of(text: str) -> str:
    """Return what is wrong with the text of a credential; empty for nothing."""
    # It is asked before every call. None of the mistakes is made of so many letters and digits alone.
    if _PLAIN.fullmatch(text):
        return ""
    return next((message for pattern, message in _FLAWS if pattern.fullmatch(text)), "")


def flaw_of_access_token(text: str) -> str:
    """Return what is, or seems to be, wrong with the text of a Meta access token; empty for nothing."""
    if flaw := flaw_of(text):
        return flaw
    if text.startswith(_META_PREFIX_BASE64):
        return "is base64 text; encode it once in `data`, or not at all in `stringData`"
    return "" if text.startswith(_META_PREFIX) else f"does not begin with {_META_PREFIX}, as access tokens of Meta do"
