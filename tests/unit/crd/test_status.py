"""The status as a value: what makes two of them equal."""

from __future__ import annotations

from typing import Any

from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import Row, Rows, Status, read_status, render_status
from support.builders import NUMBER, OTHER_NUMBER

ONE, OTHER = Row(number=NUMBER, api="default"), Row(number=OTHER_NUMBER, api="default", reason=Reason.SIGNED)


def written(*rows: dict[str, Any]) -> Status:
    """Return a status as it is read, with these rows."""
    return read_status({**render_status(Status(generation=1)), "phoneNumbers": list(rows)})


def test_a_status_that_is_read_back_is_the_same() -> None:
    """So that nothing is written where nothing changes."""
    status = Status(generation=1, rows=Rows([ONE, OTHER]), desired=2, signed=1)
    assert read_status(render_status(status)) == status
    assert read_status({}) == Status()


def test_rows_are_compared_in_their_order() -> None:
    """The list is in the spec's order, and is written again when that changes."""
    assert Rows([ONE, OTHER]) != Rows([OTHER, ONE])
    assert Rows([ONE]) != {NUMBER: ONE}


def test_rows_are_compared_by_what_is_understood() -> None:
    """One that nobody understands is replaced; it makes no difference which were looked up before."""
    row = {"phoneNumber": NUMBER, "api": "default", "reason": "Pending"}
    odd = {"phoneNumber": OTHER_NUMBER, "api": "default", "reason": "Splendid"}
    both = written(row, odd)
    assert (both.rows.get(OTHER_NUMBER), both.rows.get(OTHER_NUMBER), both.rows[NUMBER]) == (None, None, ONE)
    assert both.rows == Rows([ONE]) == written(row).rows
    assert both.rows.get(OTHER_NUMBER) is None
    assert (len(both.rows), list(both.rows)) == (1, [NUMBER])
