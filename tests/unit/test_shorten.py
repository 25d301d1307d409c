"""Long names in messages."""

import pytest

from bek_operator.shorten import shorten


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [
        ("", 5, ""),
        ("abcde", 5, "abcde"),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 6, "abc…gh"),
        ("x" * 30 + "y" * 31, 60, "x" * 30 + "…" + "y" * 29),
    ],
)
def test_a_long_name_loses_its_middle(text: str, longest: int, expected: str) -> None:
    """Names that differ at either end can be told apart."""
    assert shorten(text, longest) == expected
