"""`kubectl bek endpoint`: the encrypted ping of a Flow endpoint, from where the user is."""

import os
import shlex
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from bek_operator.cli.asked_endpoint import AskedEndpoint, Given, asked_at, asked_of_object
from bek_operator.cli.diagnosis import FAILED, OK, Diagnosis, diagnose
from bek_operator.cli.egress import is_no_metadata_service
from bek_operator.cli.key_report import report_of_file
from bek_operator.cli.names import object_names
from bek_operator.cli.running import NOT_WELL, Failed, read_bounded, runs
from bek_operator.cli.session import Session, Target, bare
from bek_operator.cli.tables import print_data, show, table
from bek_operator.crd.reasons import Reason
from bek_operator.endpoint.judge import Step
from bek_operator.http.client import HttpxClient
from bek_operator.http.resolver import Resolver
from bek_operator.keys.public_key import PublicKey
from bek_operator.net.ca_bundle import MAX_CHARACTERS
from bek_operator.net.proxy import Proxy, parse_proxy
from bek_operator.net.url import Url, parse_full_url
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.secret_str import SecretStr

_LONGEST_SECRET: Final = 1024
_FORWARDED: Final = 8443
_SERVICES: Final = (".svc", ".svc.cluster.local")
_COLOURS: Final = {OK: "green", FAILED: "red"}

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Ask a Flow endpoint whether it opens the key.")
@click.argument("name", required=False, shell_complete=object_names)
@click.option("--url", metavar="URL", help="Ask at this address instead of the object's.")
@click.option(
    "--key",
    "--public-key",
    "key_file",
    type=_FILE,
    help="Ask for the key in this file, private or public, or for that of a certificate, instead of the Secret's.",
)
@click.option("--passphrase-file", type=_FILE, help="A file with the passphrase of an encrypted --key.")
@click.option("--app-secret-file", type=_FILE, help="A file with the app secret that signs the ping.")
@click.option("--app-secret-env", metavar="NAME", help="The variable with the app secret that signs the ping.")
@click.option("--ca", "ca_file", type=_FILE, help="The CA to trust, as PEM, instead of the object's or the system's.")
@click.option("--server-name", metavar="NAME", help="The name in the certificate (default: the host).")
@click.option("--proxy", metavar="URL", help="Ask through this proxy (default: none, whatever the environment says).")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Another form.")
@runs
async def endpoint(target: Target, name: str | None, *, proxy: str | None, output: str | None, **options: Any) -> int:
    """Ask a Flow endpoint whether it holds the private key, and show at which step it fails.

    It gets the encrypted ping that Meta and the operator send, from where you are. With NAME, address, key, app secret
    and CA are those of the object and its Secrets, as far as no option names others. Without it, --url and --key are
    needed. Exit status: 0 it opens the ping, 1 it does not, 2 it could not be asked.
    """
    given = _given(**options)
    through = _proxy(proxy) if proxy else None
    if name is not None:
        name = bare(name)
        async with Session.open(target) as session:
            asked = await asked_of_object(session, name, given)
    elif given.url and given.key:
        asked = asked_at(given.url, given.key, given)
    else:
        raise click.UsageError("name an object, or an address and a key with --url and --key")
    diagnosis = await _ask(asked, through)
    if diagnosis.could_not_ask:
        raise Failed(diagnosis.verdict.message)
    if name and diagnosis.failed is Step.NAME and diagnosis.endpoint.url.host.endswith(_SERVICES):
        raise Failed(_only_in_cluster(name, target, diagnosis.endpoint))
    if output:
        print_data(diagnosis.as_data(), output)
    else:
        _show(diagnosis)
    if name is None and diagnosis.verdict.reason is Reason.CERTIFICATE_NOT_TRUSTED:
        click.echo("hint: --ca names a file with the CA, and --server-name the name in the certificate", err=True)
    return 0 if diagnosis.holds_key else NOT_WELL


async def _ask(asked: AskedEndpoint, proxy: Proxy | None) -> Diagnosis:
    resolver = Resolver(is_no_metadata_service)
    http = HttpxClient(resolver, user_agent=f"bek-operator/{version('bek-operator')}", proxy=proxy)
    try:
        return await diagnose(http, None if proxy else resolver, asked.endpoint, asked.key, asked.earlier)
    finally:
        await http.close()


def _given(
    *,
    url: str | None,
    key_file: Path | None,
    passphrase_file: Path | None,
    app_secret_file: Path | None,
    app_secret_env: str | None,
    ca_file: Path | None,
    server_name: str | None,
) -> Given:
    if app_secret_file and app_secret_env:
        raise click.UsageError("name either --app-secret-file or --app-secret-env")
    if passphrase_file and not key_file:
        raise click.UsageError("--passphrase-file is for an encrypted --key")
    secret = _text(app_secret_file, _LONGEST_SECRET) if app_secret_file else None
    if app_secret_env:
        secret = os.environ.get(app_secret_env, "").rstrip("\r\n")
        if not secret:
            raise Failed(f"the variable {app_secret_env} of --app-secret-env is not set, or empty")
    return Given(
        url=_url(url) if url is not None else None,
        key=_key(key_file, passphrase_file) if key_file else None,
        app_secret=SecretStr(secret) if secret else None,
        ca_bundle=_text(ca_file, MAX_CHARACTERS) if ca_file else None,
        server_name=server_name,
    )


def _url(text: str) -> Url:
    if text.lower().startswith("http://"):
        raise click.UsageError("--url: must be https://…; a ping is sent over TLS only, as Meta does")
    try:
        return parse_full_url(text)
    except ValueError as fault:
        raise click.UsageError(f"--url: {fault}") from None


def _proxy(text: str) -> Proxy:
    try:
        return parse_proxy(text)
    except ValueError as fault:
        raise click.UsageError(f"--proxy: {fault}") from None


def _key(file: Path, passphrase_file: Path | None) -> PublicKey:
    report = report_of_file(file, passphrase_file)
    if report.key is None:
        raise Failed("\n".join(filter(None, (f"--key: {report.fault}", report.hint))))
    return report.key


def _text(file: Path, longest: int) -> str:
    raw = read_bounded(file, longest)
    if len(raw) > longest:
        raise Failed(f"{file} is longer than {longest} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Failed(f"{file} is not UTF-8 text") from None
    if not text:
        raise Failed(f"{file} is empty")
    return text


def _only_in_cluster(name: str, target: Target, endpoint: FlowEndpoint) -> str:
    """Return how to reach a Service of the cluster."""
    service, namespace, *_ = endpoint.url.host.split(".")
    url = replace(endpoint.url, host="localhost", port=_FORWARDED)
    there = shlex.quote(f"{url}{'?…' if url.query else ''}")
    named = {"kubeconfig": target.kubeconfig, "context": target.context, "namespace": namespace}
    flags = "".join(f" --{flag} {shlex.quote(value)}" for flag, value in named.items() if value)
    return "\n".join(
        (
            f"{endpoint.url.host} is a Service, and does not resolve here; its port can be forwarded:",
            f"  kubectl port-forward{flags} service/{service} {_FORWARDED}:{endpoint.url.port}",
            f"  kubectl bek endpoint {name}{flags} --url {there} --server-name {endpoint.trust.server_name}",
        )
    )


def _show(diagnosis: Diagnosis) -> None:
    endpoint, verdict = diagnosis.endpoint, diagnosis.verdict
    signed = "signed with the app secret" if endpoint.app_secret else "not signed"
    click.echo(f"{endpoint.url}: ping for key {diagnosis.key.key_id}, {signed}")
    rows = [(step, Text(result, _COLOURS.get(result, "")), seen) for step, result, seen in diagnosis.rows()]
    show(table(("STEP", "RESULT", "SEEN"), rows))
    click.echo(f"{verdict.reason}: {verdict.message}")
