"""What the log says of an answer that was not understood."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.whatsapp.answer_form import form_of_answer


@pytest.mark.parametrize(
    ("body", "form"),
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
def test_form(body: bytes, form: str) -> None:
    """Names of members, types and lengths; no name that could be something else."""
    assert form_of_answer(body) == form


def test_what_is_large_is_cut() -> None:
    """A line of the log stays one."""
    wide = form_of_answer(json.dumps({f"{'name' * 8}": "x" * 9, **{f"n{'a' * i}": 1 for i in range(99)}}).encode())
    assert wide.endswith(", …}")
    long = form_of_answer(json.dumps({f"{chr(97 + i)}" * 32: [{"n" * 32: {"m" * 32: 1}}] for i in range(12)}).encode())
    assert len(long) == 500
    assert long.endswith("…")


@given(
    st.binary() | st.recursive(st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)).map(json.dumps)
)
def test_any_answer(body: bytes | str) -> None:
    """Whatever it is, it has a form that fits a line."""
    form = form_of_answer(body if isinstance(body, bytes) else body.encode())
    assert len(form) <= 500
    assert form.isprintable()
