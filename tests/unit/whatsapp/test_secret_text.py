"""Typical mistakes in the text of a credential are recognised."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.whatsapp.secret_text import flaw_of, flaw_of_access_token

TOKEN = "EAAG" + "x9Zd" * 40

FLAWED = {
    "double quotes": (f'"{TOKEN}"', "is in quotes"),
    "single quotes": (f"'{TOKEN}'", "is in quotes"),
    "quotes of a word processor": (f"\u201c{TOKEN}\u201d", "is in quotes"),
    "half of the quotes": (f"{TOKEN}'", "begins or ends with a quotation mark"),
    "a JSON object": (f'{{"token": "{TOKEN}"}}', "is a JSON object"),
    "a scheme": (f"Bearer {TOKEN}", "begins with the word Bearer"),
    "a scheme in small letters": (f"bearer {TOKEN}", "begins with the word Bearer"),
    "a line of a file": (f"META_TOKEN={TOKEN}", "begins with a name and an equals sign"),
    "a line of a script": (f"export META_TOKEN={TOKEN}", "begins with a name and an equals sign"),
    "a place to fill in": ("<token>", "is a placeholder"),
    "a variable": ("${META_TOKEN}", "is a placeholder"),
    "a template": ("{{ .Values.token }}", "is a placeholder"),
    "a command": ("$(cat token)", "is a placeholder"),
    "a variable of Windows": ("%TOKEN%", "is a placeholder"),
    "YOUR_TOKEN": ("YOUR_TOKEN", "is a placeholder"),
    "your-access-token-here": ("your-access-token-here", "is a placeholder"),
    "changeme": ("changeme", "is a placeholder"),
    "change-me": ("change-me", "is a placeholder"),
    "REPLACE_ME": ("REPLACE_ME", "is a placeholder"),
    "yourtoken": ("yourtoken", "is a placeholder"),
    "xxxxxxxx": ("xxxxxxxx", "is a placeholder"),
    "a line break that was not meant as two characters": (rf"{TOKEN}\n", "contains a literal"),
    "two lines": (f"{TOKEN}\n{TOKEN}", "has more than one line"),
    "a blank before": (f" {TOKEN}", "has whitespace around it"),
    "a blank behind": (f"{TOKEN} ", "has whitespace around it"),
}


@pytest.mark.parametrize(("text", "message"), FLAWED.values(), ids=FLAWED.keys())
def test_flaw(text: str, message: str) -> None:
    """The flaw is named without showing any of the text."""
    for found in (flaw_of(text), flaw_of_access_token(text)):
        assert found.startswith(message)
        assert TOKEN not in found


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "123456789012345|" + "a1B2" * 8,
        "tXClHbpqyFQEGiGPlKvLjkwuUT87C8mW_AK",
        "Correct-Horse-7",
        "correct horse battery staple",
        "YWJjZGVmZw==",
        "a=",
        "=a",
        "1+1=2",
        'half a " of a quotation mark',
        "t",
        "input",
        "EAxxx",
        "xy{z}",
    ],
)
def test_no_flaw(text: str) -> None:
    """Passwords and API keys of providers may be any text."""
    assert flaw_of(text) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUFBR3g5WmQ=", "is base64 text"),
        ("15550001111", "does not begin with EA"),
        ("7fc7e9e53199d1aad239aac94b7ea24f", "does not begin with EA"),
        (TOKEN, ""),
    ],
)
def test_flaw_of_access_token(text: str, message: str) -> None:
    """Every access token of Meta begins with EA."""
    assert flaw_of_access_token(text).startswith(message)
    assert bool(flaw_of_access_token(text)) == bool(message)


@given(st.from_regex(r"EA[A-Za-z0-9]{20,250}", fullmatch=True))
def test_no_token_of_meta_has_a_flaw(token: str) -> None:
    """No valid token is refused before a call."""
    assert flaw_of_access_token(token) == ""


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Any text can be checked, and nothing of it is shown."""
    assert re.fullmatch(r"[A-Za-z0-9 .,;`'\\-]*", flaw_of_access_token(text))


def test_no_backtracking() -> None:
    """A crafted Secret cannot stall the operator by catastrophic backtracking."""
    for unit in ("xxx", "your", "=", "a=", '"', "\\", "{", "bearer ", " \n", "%", "<", "export a"):
        for end in ("", "1", '"', " ", "é"):
            flaw_of_access_token(unit * (8192 // len(unit)) + end)
