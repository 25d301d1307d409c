"""Tables in kubectl's manner: capital headings, columns three blanks apart, no borders, colour on a terminal only.

And the same as data, for programs.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import click
import yaml
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


def print_data(data: Mapping[str, Any], form: str) -> None:
    """Print data as `json`, or else as YAML."""
    if form == "json":
        click.echo(json.dumps(data, indent=4))
    else:
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
