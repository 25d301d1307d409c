"""`kubectl bek diff`: what a manifest that is about to be applied would lead to."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import yaml

from bek_operator.cli.manifests import NOT_YAML, not_yaml
from bek_operator.cli.plan import Change, Plan, plan_of
from bek_operator.cli.running import NOT_WELL, Failed, read_bounded, runs
from bek_operator.cli.session import Session, Target
from bek_operator.cli.tables import show, table
from bek_operator.cluster.errors import ClusterError, NotFound
from bek_operator.cluster.objects import KIND
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import InvalidSpec, Spec
from bek_operator.keys.public_key import InvalidKey, PublicKey, public_key_from_secret

_MOST_BYTES = 16 * 1024 * 1024


@click.command(short_help="Show what a manifest would lead to.")
@click.option(
    "-f",
    "--filename",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False, path_type=Path),
    required=True,
    help="The manifest; - is standard input.",
)
@runs
async def diff(target: Target, filename: Path) -> int:
    """Show what a manifest would lead to: which numbers would be published to, moved, dropped.

    The API server admits the manifest without storing it, and the decisions are those of the operator. The manifest is
    taken for the whole object, as `kubectl apply` does. Exit status: 0 without a difference, 1 with one, 2 on errors.
    """
    manifests = list(_manifests(read_bounded(filename, _MOST_BYTES)))
    if not manifests:
        raise Failed(f"the manifest has no {KIND}")
    differs = False
    for manifest in manifests:
        namespace = manifest["metadata"].get("namespace")
        if namespace and target.namespace and namespace != target.namespace:
            raise Failed(f"the manifest is for the namespace {namespace}, not for {target.namespace}")
        async with Session.open(replace(target, namespace=target.namespace or namespace)) as session:
            differs = await _diff(session, manifest) or differs
    return NOT_WELL if differs else 0


async def _diff(session: Session, manifest: Mapping[str, Any]) -> bool:
    """Show the differences of one object; return whether there are any."""
    name = manifest["metadata"]["name"]
    all_objects = [one.resource for one in await session.objects.list()]
    before = next((one for one in all_objects if one.ref.name == name), None)
    after = await session.objects.dry_run(manifest, before.version if before else None)
    if isinstance(after.spec, InvalidSpec):
        raise Failed(f"the spec cannot be used: {after.spec.message}")
    key, note = await _key(session, before, after.spec)
    others = [one for one in all_objects if one is not before]
    plan = plan_of(before, after, key.fingerprint if key else None, others, time.time())
    _show(f"{after.ref.namespace}/{name}", plan, note, is_new=before is None)
    return before is None or not plan.is_empty


async def _key(session: Session, before: BusinessEncryptionKey | None, spec: Spec) -> tuple[PublicKey | None, str]:
    """Return the key of a Secret that was not referred to before, and what is to be said of it."""
    old = before.spec if before and isinstance(before.spec, Spec) else None
    if old and (old.key, old.passphrase_entry) == (spec.key, spec.passphrase_entry):
        return None, ""
    try:
        data = await session.secret(spec.key.secret)
        key = public_key_from_secret(data, entry=spec.key.entry, passphrase_entry=spec.passphrase_entry)
    except InvalidKey as fault:
        return None, f"Secret {spec.key.secret} has no usable key, so nothing is published: {fault}"
    except NotFound:
        return None, f"Secret {spec.key.secret} does not exist, so nothing is published until it does"
    except ClusterError as error:
        return None, f"the key cannot be compared: {error}"
    held = before.status.fingerprint if before else None
    same = "" if held is None else ", the same as before" if held == key.fingerprint else ", another one than before"
    return key, f"Secret {spec.key.secret} has the key {key.key_id}{same}"


def _show(name: str, plan: Plan, note: str, *, is_new: bool) -> None:
    counts = Counter(one.change for one in plan.numbers)
    counted = ", ".join(f"{counts[change]} {change}" for change in Change if counts[change])
    lines = [f"{name}{' (new object)' if is_new else ''}: {counted}", *plan.fields, *([note] if note else [])]
    click.echo("\n".join(lines))
    rows = [
        (one.number, one.api, str(one.change), one.message)
        for one in plan.numbers
        if one.change is not Change.UNCHANGED
    ]
    if rows:
        show(table(("NUMBER", "API", "CHANGE", "WHAT FOLLOWS"), rows))


def _manifests(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the BusinessEncryptionKeys of a manifest, also those in lists."""
    if len(content) > _MOST_BYTES:
        raise Failed(f"the manifest is larger than {_MOST_BYTES} bytes")
    try:
        documents = list(yaml.safe_load_all(content))
    except NOT_YAML as error:
        raise Failed(f"the manifest {not_yaml(error)}") from None
    for document in documents:
        items: Sequence[Any] = [document]
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            items = document["items"]
        for item in items:
            if isinstance(item, dict) and item.get("kind") == KIND:
                metadata = item.get("metadata")
                if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
                    raise Failed(f"a {KIND} of the manifest has no `metadata.name`")
                yield item
