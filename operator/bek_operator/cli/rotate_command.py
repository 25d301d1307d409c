"""`kubectl bek rotate`: a new key pair, and the steps in the right order."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from bek_operator.cli.names import object_names
from bek_operator.cli.running import Failed, read_bounded, runs
from bek_operator.cli.session import Session, Target, bare
from bek_operator.cluster.user_secrets import UserSecret, UserSecrets
from bek_operator.crd.types import InvalidSpec, Spec
from bek_operator.keys.public_key import MAX_ENTRY_BYTES, InvalidKey
from bek_operator.keys.rotation import PREVIOUS, NewKey, generate, read, replaced


@click.command(short_help="Make a new key pair, and show the steps.")
@click.argument("name", shell_complete=object_names)
@click.option("--endpoint-first", is_flag=True, help="Print the steps only; make and change nothing.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The private key's file (default: NAME-KEYID.pem)."
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use this private key instead of a new one.",
)
@click.option("--apply", is_flag=True, help="Write the key into the object's Secret, after a question.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@runs
async def rotate(
    target: Target, name: str, *, endpoint_first: bool, out: Path | None, key_file: Path | None, apply: bool, yes: bool
) -> int:
    """Make a new key pair for an object, and show how to bring it into use without an outage.

    The private key goes to a file that only you can read. With --apply it goes into the object's Secret, too, and the
    operator publishes its public half, so the endpoint must be able to decrypt with it before. The old private key
    stays in the Secret, in an entry of its own. A Secret that another tool writes is not changed.
    """
    name = bare(name)
    _check_options(endpoint_first=endpoint_first, out=out, key_file=key_file, apply=apply)
    async with Session.open(target) as session:
        namespace = session.namespace or ""
        spec = (await session.objects.read(name)).resource.spec
        if isinstance(spec, InvalidSpec):
            raise Failed(f"the spec cannot be used: {spec.message}")
        if endpoint_first:
            click.echo(_steps(name, namespace, spec, str(key_file or "FILE")))
            return 0
        secrets = UserSecrets(session.client, namespace)
        secret = await secrets.read(spec.key.secret)
        if apply and secret.refusal:
            raise Failed(f"the Secret {spec.key.secret} is not changed: {secret.refusal}")
        key, changed = _prepare(secret, spec, key_file, apply=apply)
        if apply and changed:
            _confirm(f"{namespace}/{spec.key.secret}", key, yes=yes)
        if key_file is None:
            key_file = _written(out or Path(f"{name}-{key.public.key_id}.pem"), key.private)
            click.echo(f"{key_file}: the private key of key {key.public.key_id}; keep it secret")
        if apply and changed:
            await secrets.change(spec.key.secret, secret.version, changed)
    if apply:
        click.echo(_applied(name, namespace, spec, key, changed))
    else:
        click.echo(_steps(name, namespace, spec, str(key_file)))
    if secret.refusal:
        click.echo(f"note: step 2 is refused: {secret.refusal}", err=True)
    return 0


def _check_options(*, endpoint_first: bool, out: Path | None, key_file: Path | None, apply: bool) -> None:
    if out and key_file:
        raise click.UsageError("name either --out or --key")
    if out and str(out) == "-":
        raise click.UsageError("--out: must be a file; a private key is not printed")
    if endpoint_first and (apply or out):
        raise click.UsageError("--endpoint-first makes and changes nothing; leave out --apply and --out")


def _prepare(secret: UserSecret, spec: Spec, file: Path | None, *, apply: bool) -> tuple[NewKey, Mapping[str, bytes]]:
    """Return the new key, and the entries of the Secret to change if it is to be applied."""
    try:
        key = _key(secret, spec, file)
        return key, replaced(secret.data, spec.key.entry, spec.passphrase_entry, key) if apply else {}
    except InvalidKey as fault:
        raise Failed(f"Secret {spec.key.secret}: {fault}") from None


def _key(secret: UserSecret, spec: Spec, file: Path | None) -> NewKey:
    if file is None:
        return generate(secret.data, spec.passphrase_entry)
    return read(read_bounded(file, MAX_ENTRY_BYTES), secret.data, spec.passphrase_entry)


def _written(file: Path, private: bytes) -> Path:
    """Write a file that only its owner can read, and that did not exist."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failed(f"{file} exists and is not overwritten; name another file with --out") from None
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(private)
    return file


def _confirm(secret: str, key: NewKey, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failed("the Secret is not changed without a confirmation; give it with --yes")
    question = f"Write key {key.public.key_id} into the Secret {secret}? The endpoint must decrypt with it already"
    if not click.confirm(question, err=True):
        raise Failed("the Secret is not changed")


def _applied(name: str, namespace: str, spec: Spec, key: NewKey, changed: Mapping[str, bytes]) -> str:
    if not changed:
        return f"secret/{spec.key.secret} unchanged: it has key {key.public.key_id}"
    kept = [entry for entry in changed if entry.startswith(PREVIOUS)]
    lines = [
        f"secret/{spec.key.secret} changed: {', '.join(sorted(changed))}",
        f"The operator publishes key {key.public.key_id} now; see: kubectl bek status {name} -n {namespace}",
        f"Keep the old key at the endpoint for some days, then remove the entry {kept[0]}." if kept else "",
    ]
    return "\n".join(filter(None, lines))


def _steps(name: str, namespace: str, spec: Spec, file: str) -> str:
    passphrase = f" It is encrypted with the passphrase in {spec.passphrase_entry}." if spec.passphrase_entry else ""
    more = "" if spec.flows_endpoint else " --url URL"
    more += " --passphrase-file PASSPHRASE" if spec.passphrase_entry else ""
    steps = (
        f"1. Give the endpoint the new private key ({file}) beside the old one, and roll it out.{passphrase}",
        "   It must try both, and answer 421 only if neither decrypts a request. See whether it opens the new one:",
        f"   kubectl bek endpoint {name} -n {namespace} --key {file}{more}",
        f"2. Put the new key into the Secret {spec.key.secret}; the operator publishes its public half:",
        f"   kubectl bek rotate {name} -n {namespace} --key {file} --apply",
        "3. Wait until every number is signed:",
        f"   kubectl bek status {name} -n {namespace} --watch",
        "4. Keep the old key at the endpoint for some days: clients use the old public key until they get a 421.",
        "   Then remove it there and from the Secret.",
    )
    return "\n".join(steps)
