"""Tables in kubectl's manner: capital headings, columns three blanks apart, no borders, colour on a terminal only."""

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNLIMITED = 100_000
"""Columns of a line that goes to a file or a pipe; a program reads it, so nothing is folded."""

Cell = str | Text


def console(stream: TextIO | None = None) -> Console:
    """Return a console that writes to a stream, without colour where `NO_COLOR` is set or nobody looks."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else _UNLIMITED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Return a table; the last column is folded on a narrow terminal, the others are not."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_edge=False, header_style="bold")
    for heading in headings[:-1]:
        made.add_column(heading, no_wrap=True)
    made.add_column(headings[-1], overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made
