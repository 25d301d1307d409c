"""The shape of an unexpected response, as the log shows it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.whatsapp.response_shape import shape_of


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b"", "0 bytes, blank"),
        (b" \n", "2 bytes, blank"),
        (b"<html>secret</html>", "19 bytes, markup"),
        (b"secret", "6 bytes, no JSON"),
        (b"[" * 60_000, "60000 bytes, no JSON"),
        (b"\xff", "1 bytes, no JSON"),
        (b'"secret"', "8 bytes, text(6)"),
        (b"null", "4 bytes, null"),
        (b"[]", "2 bytes, list(0)"),
        (b"[1, 2]", "6 bytes, list(2)[int]"),
        (b"[[[[1]]]]", "9 bytes, list(1)[list(1)[list(1)[list(1)]]]"),
        (b"{}", "2 bytes, {}"),
        (b'{"a": {"b": {"c": {"d": 1}}}}', "29 bytes, {a: {b: {c: object(1)}}}"),
        (b'{"success": true, "share": 1.5}', "31 bytes, {success: bool, share: number}"),
        (
            b'{"meta": {"httpCode": 400, "developerMessage": "secret", "success": false}}',
            "75 bytes, {meta: {httpCode: int, developerMessage: text(6), success: bool}}",
        ),
        (b'{"EAAG1234": 1, "a name of its own": 2}', "39 bytes, {name(8): int, name(17): int}"),
    ],
)
def test_shape(body: bytes, shape: str) -> None:
    """It has names of members, types and lengths, and no name that could be a credential."""
    assert shape_of(body) == shape


def test_cut() -> None:
    """The shape of a large response is cut."""
    wide = shape_of(json.dumps({f"{'name' * 8}": "x" * 9, **{f"n{'a' * i}": 1 for i in range(99)}}).encode())
    assert wide.endswith(", …}")
    long = shape_of(json.dumps({f"{chr(97 + i)}" * 32: [{"n" * 32: {"m" * 32: 1}}] for i in range(12)}).encode())
    assert len(long) == 500
    assert long.endswith("…")


@given(
    st.binary() | st.recursive(st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)).map(json.dumps)
)
def test_any_response(body: bytes | str) -> None:
    """Any response has a shape of one bounded line."""
    shape = shape_of(body if isinstance(body, bytes) else body.encode())
    assert len(shape) <= 500
    assert shape.isprintable()
