"""The commands: what they are called with, and their exit status.

0 means that all is well, 1 that something is not, and 2 that the command could not be carried out.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.live import Live

from bek_operator.cli.diff_command import diff
from bek_operator.cli.endpoint_command import endpoint
from bek_operator.cli.export_command import export
from bek_operator.cli.key_report import comparison, opened_last, report_of, report_of_file
from bek_operator.cli.names import object_names
from bek_operator.cli.rotate_command import rotate
from bek_operator.cli.running import NOT_WELL, Failed, runs
from bek_operator.cli.session import Session, Target, bare
from bek_operator.cli.status import as_data, as_tables
from bek_operator.cli.summary import ObjectSummary, is_suspended, summary_of, worst_first
from bek_operator.cli.tables import console, print_data, show
from bek_operator.cli.waiting import lease_warning, progress_of, unfinished
from bek_operator.crd.parse import REQUESTED_AT
from bek_operator.crd.types import InvalidSpec
from bek_operator.times import micro_time

_REDRAW_SECONDS = 2.0
_POLL_SECONDS = 0.5
_WAIT_SECONDS = 120.0
_BLOCKED_SECONDS = 3.0
"""How long the operator is given to see that a key was repaired."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("bek-operator"), message="%(version)s")
def bek() -> None:
    """Look at BusinessEncryptionKeys, and act on them.

    Exit status: 0 when all is well, 1 when something is not, 2 when the command could not be carried out.
    """


bek.add_command(diff)
bek.add_command(endpoint)
bek.add_command(export)
bek.add_command(rotate)


@bek.command(short_help="Show objects and their numbers.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=object_names)
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of all namespaces.")
@click.option("-o", "--output", type=click.Choice(["wide", "json", "yaml"]), help="Another form.")
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@click.option("--unhealthy", is_flag=True, help="Leave out what is well.")
@runs
async def status(target: Target, names: Sequence[str], output: str | None, *, watch: bool, unhealthy: bool) -> int:
    """Show objects and each of their phone numbers, the worst first."""
    if watch and output in {"json", "yaml"}:
        raise click.UsageError("--watch shows tables only; leave out --output")
    if names and target.all_namespaces:
        raise click.UsageError("a name needs one namespace; leave out --all-namespaces")
    async with Session.open(target) as session:

        async def look() -> Sequence[ObjectSummary]:
            found, now = await session.find(names), time.time()
            return worst_first(summary_of(one.resource, now) for one in found)

        def render(summaries: Sequence[ObjectSummary]) -> RenderableType:
            return as_tables(
                summaries, time.time(), namespace=session.namespace, wide=output == "wide", unhealthy=unhealthy
            )

        summaries = await look()
        if warning := lease_warning(await session.leases(), time.time()):
            click.echo(f"warning: {warning}", err=True)
        if watch:
            await _redraw(look, render, summaries)
        elif output in {"json", "yaml"}:
            print_data({"items": as_data(summaries)}, output)
        else:
            show(render(summaries))
    return 0 if all(one.is_healthy for one in summaries) else NOT_WELL


@bek.command(short_help="Have every number checked now.")
@click.argument("name", shell_complete=object_names)
@click.option(
    "--wait", is_flag=True, help="Wait until every number was checked; the exit status tells whether all is well."
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help=f"How long --wait waits (default: {_WAIT_SECONDS:g}).",
)
@runs
async def check(target: Target, name: str, seconds: float | None, *, wait: bool) -> int:
    """Have the operator check every number of an object now."""
    if seconds and not wait:
        raise click.UsageError("--timeout goes with --wait")
    seconds = seconds or _WAIT_SECONDS
    async with Session.open(target) as session:
        name = bare(name)
        found = await session.objects.read(name)
        if is_suspended(found.resource):
            raise Failed(f"{name} is suspended, so nothing is checked; resume it with: kubectl bek resume {name}")
        request = micro_time(datetime.now(UTC))
        found = requested = await session.objects.patch(name, {"metadata": {"annotations": {REQUESTED_AT: request}}})
        click.echo(f"businessencryptionkey.bek.dev/{name} check requested")
        if not wait:
            return 0
        progress, began = progress_of(found.resource), time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                with console(sys.stderr).status(progress.text) as shown:
                    while not progress.done and not (progress.blocked and time.monotonic() - began > _BLOCKED_SECONDS):
                        await asyncio.sleep(_POLL_SECONDS)
                        found = await session.objects.read(name)
                        progress = progress_of(found.resource)
                        shown.update(progress.text)
        except TimeoutError:
            raise Failed(unfinished(requested.resource, found.resource, seconds)) from None
    click.echo(progress.text)
    return 0 if progress.well else NOT_WELL


@bek.command(short_help="Stop all calls for an object.")
@click.argument("name", shell_complete=object_names)
@runs
async def suspend(target: Target, name: str) -> int:
    """Stop all calls for an object: its numbers are neither checked nor published to.

    What the numbers hold stays as it is. An object that Flux or Argo CD applies can be put back by them: then commit
    `suspend: true`, or suspend the tool first.
    """
    return await _set_suspend(target, bare(name), suspend=True)


@bek.command(short_help="Check and publish again.")
@click.argument("name", shell_complete=object_names)
@runs
async def resume(target: Target, name: str) -> int:
    """Check and publish again for an object that was suspended."""
    return await _set_suspend(target, bare(name), suspend=False)


async def _set_suspend(target: Target, name: str, *, suspend: bool) -> int:
    async with Session.open(target) as session:
        before = await session.objects.read(name)
        changed = is_suspended(before.resource) is not suspend
        if changed:
            await session.objects.patch(name, {"spec": {"suspend": suspend}})
    word = "suspended" if suspend else "resumed"
    click.echo(f"businessencryptionkey.bek.dev/{name} {word if changed else f'{word} (unchanged)'}")
    if changed and before.managed_by:
        click.echo(
            f"warning: {before.managed_by} applies this object, and puts `suspend` back where Git says otherwise;"
            " commit the change, too",
            err=True,
        )
    return 0


@bek.command(short_help="Show what the operator makes of a key.")
@click.argument("name", required=False, shell_complete=object_names)
@click.option(
    "-f",
    "--filename",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False, path_type=Path),
    help="A local file instead of an object's Secret; - is standard input.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With -f: a file with the passphrase of an encrypted key.",
)
@runs
async def key(target: Target, name: str | None, filename: Path | None, passphrase_file: Path | None) -> int:
    """Show what the operator makes of a key: that of an object's Secret, or a local file.

    No key material is shown. For an object, the key is compared with what each number holds.
    """
    if (name is None) == (filename is None):
        raise click.UsageError("name either an object or, with -f, a file")
    if passphrase_file and filename is None:
        raise click.UsageError(
            "--passphrase-file is for a file with -f; an object names the entry of its Secret itself"
        )
    if filename is not None:
        report = report_of_file(filename, passphrase_file)
        click.echo("\n".join(report.lines()))
        if report.hint:
            click.echo(report.hint, err=True)
        return 0 if report.key else NOT_WELL
    async with Session.open(target) as session:
        found = await session.objects.read(bare(name or ""))
        spec, status = found.resource.spec, found.resource.status
        if isinstance(spec, InvalidSpec):
            raise Failed(f"the spec cannot be used: {spec.message}")
        secret = await session.secret(spec.key.secret)
    report = report_of(secret, spec.key.entry, spec.passphrase_entry)
    click.echo("\n".join((f"Secret {spec.key.secret}", *report.lines())))
    if report.key is None:
        return NOT_WELL
    rows = [status.rows.get(number.number) for number in spec.numbers]
    held = {number.number: row.fingerprint if row else None for number, row in zip(spec.numbers, rows, strict=True)}
    click.echo("\n".join(comparison(report.key.fingerprint, held)))
    seen = set(held.values())
    if spec.flows_endpoint:
        opened = status.endpoint.opened if status.endpoint else None
        click.echo(opened_last(report.key.fingerprint, opened))
        seen.add(opened)
    return 0 if seen == {report.key.fingerprint} else NOT_WELL


async def _redraw(
    look: Callable[[], Coroutine[Any, Any, Sequence[ObjectSummary]]],
    render: Callable[[Sequence[ObjectSummary]], RenderableType],
    summaries: Sequence[ObjectSummary],
) -> None:
    """Show it again: on a terminal in place, as much as fits; elsewhere below, when it has changed."""
    out = console()
    if out.is_terminal:
        with Live(render(summaries), console=out, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(_REDRAW_SECONDS)
                live.update(render(await look()), refresh=True)
    while True:
        show(render(summaries))
        before = summaries
        while summaries == before:
            await asyncio.sleep(_REDRAW_SECONDS)
            summaries = await look()
