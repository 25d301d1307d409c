"""The entry point `kubectl_complete-bek`, which kubectl asks for completions of `kubectl bek`.

It gets the arguments behind `kubectl bek`, the last one incomplete or empty, and prints a line for each completion,
with a description behind a tab, and at last a directive: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
and https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective
"""

import sys
from collections.abc import Iterator, Sequence

import click
from click.shell_completion import ShellComplete

_NO_FILES, _FILES = 4, 0
"""Directives: the shell completes no names of files, or it does."""


def main() -> None:
    """Print the completions; none where the packages for the commands are missing."""
    try:
        from bek_operator.cli.commands import bek  # noqa: PLC0415 - click may be missing
    except ModuleNotFoundError:
        return
    sys.stdout.writelines(f"{line}\n" for line in completions(bek, sys.argv[1:]))


def completions(group: click.Group, arguments: Sequence[str]) -> Iterator[str]:
    """Yield the lines for a command line."""
    *complete, incomplete = arguments or [""]
    found = ShellComplete(group, {}, "kubectl bek", "").get_completions(list(complete), incomplete)
    plain = [one for one in found if one.type == "plain"]
    for one in plain:
        yield f"{one.value}\t{one.help}" if one.help else str(one.value)
    yield f":{_NO_FILES if len(plain) == len(found) else _FILES}"
