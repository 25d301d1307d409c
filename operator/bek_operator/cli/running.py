"""How a command runs: its options for the cluster, its files, its errors, and its exit status."""

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click

from bek_operator.cli.session import Target
from bek_operator.cluster.errors import ClusterError, Unauthorized

NOT_WELL, FAILED, INTERRUPTED = 1, 2, 130

Command = Callable[..., Coroutine[Any, Any, int]]


class Failed(click.ClickException):
    """The command could not be carried out."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Write the message as kubectl does."""
        click.echo(f"error: {self.message}", file=file or sys.stderr)


def fail(error: OSError) -> NoReturn:
    """End because a file cannot be read, or standard output not be written."""
    failed = Failed(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    failed.show()
    sys.exit(failed.exit_code)


def read_bounded(file: Path, most: int) -> bytes:
    """Return the content of a file, or of standard input for `-`; of a larger one just enough to see that it is."""
    if str(file) == "-":
        return sys.stdin.buffer.read(most + 1)
    with file.open("rb") as stream:
        return stream.read(most + 1)


def runs(function: Command) -> Callable[..., None]:
    """Make a command of a coroutine function that takes a Target and returns the exit status."""

    @click.option("-n", "--namespace", metavar="NAME", help="The namespace (default: that of the context).")
    @click.option("--context", metavar="NAME", help="The context of the kubeconfig (default: the current one).")
    @click.option("--kubeconfig", default="", metavar="FILE", help="The kubeconfig (default: as for kubectl).")
    @functools.wraps(function)
    def run(namespace: str | None, context: str | None, kubeconfig: str, **given: Any) -> None:
        everywhere = given.pop("all_namespaces", False)
        target = Target(kubeconfig=kubeconfig, context=context, namespace=namespace, all_namespaces=everywhere)
        try:
            sys.exit(asyncio.run(function(target, **given)))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except Unauthorized:
            raise Failed(
                "the API server does not accept your credentials (HTTP 401); log in again, or use another --context"
            ) from None
        except ClusterError as error:
            raise Failed(str(error)) from None

    return run
