"""Completes the names of objects in a shell."""

import asyncio
from collections.abc import Sequence

import click

from bek_operator.cli.session import Session, Target, bare
from bek_operator.cluster.errors import ClusterError

_SECONDS = 3.0
"""A shell that waits for longer seems to hang."""


def object_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Sequence[str]:
    """Return the names that begin so, of the namespace that the command line names; none if they cannot be listed."""
    given = context.params
    target = Target(
        kubeconfig=given.get("kubeconfig") or "", context=given.get("context"), namespace=given.get("namespace")
    )
    try:
        names = asyncio.run(_names(target))
    except (ClusterError, TimeoutError):
        return ()
    prefix = incomplete.removesuffix(bare(incomplete))
    return [f"{prefix}{name}" for name in names if name.startswith(bare(incomplete))]


async def _names(target: Target) -> Sequence[str]:
    async with asyncio.timeout(_SECONDS), Session.open(target) as session:
        return [one.resource.ref.name for one in await session.objects.list()]
