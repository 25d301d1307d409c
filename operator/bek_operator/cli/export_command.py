"""`kubectl bek export`: the phone numbers of a WhatsApp Business Account as a BusinessEncryptionKey."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bek_operator.cli.manifests import MOST_BYTES, NewObject, UnusableManifest, manifest_of, with_numbers
from bek_operator.cli.running import NOT_WELL, Failed, read_bounded, runs
from bek_operator.cli.session import Session, Target
from bek_operator.cluster.user_objects import OBJECT_NAME, checked_namespace
from bek_operator.crd.parse import CLOUD_VERSION, IDENTITY
from bek_operator.crd.types import CloudApi, EntryRef, Number
from bek_operator.http.client import HttpxClient
from bek_operator.http.resolver import Resolver
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.numbers.endpoints import EgressPolicy, Endpoints
from bek_operator.secret_str import SecretStr
from bek_operator.settings import InvalidSettings, Settings, read_settings
from bek_operator.whatsapp.cloud.account import ListedNumber, numbers_of

TOKEN_VARIABLE = "BEK_CLOUD_TOKEN"  # noqa: S105 - a variable's name
_DEFAULT_TOKEN = EntryRef(secret="meta-token", entry="token")  # noqa: S106 - a Secret's name
_MOST_NUMBERS = 1000


class _Entry(click.ParamType[EntryRef]):
    """NAME/KEY: an entry of a Secret."""

    name = "entry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EntryRef:
        """Parse it."""
        secret, _, entry = str(value).partition("/")
        if not secret or not entry or "/" in entry:
            self.fail("must be NAME/KEY: a Secret and an entry of it", param, ctx)
        return EntryRef(secret=secret, entry=entry)


def _object_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the name of an object, if one can have it."""
    if not OBJECT_NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} cannot be the name of an object")
    return value


@click.command(short_help="Print an object with all numbers of an account.")
@click.option("--waba", required=True, metavar="ID", help="The id of the WhatsApp Business Account.")
@click.option(
    "--token-secret",
    type=_Entry(),
    metavar="NAME/KEY",
    help=f"The Secret's entry with the access token (default: the variable {TOKEN_VARIABLE}).",
)
@click.option(
    "--app-secret",
    type=_Entry(),
    metavar="NAME/KEY",
    help="The same for the app secret, where appsecret_proof is asked for.",
)
@click.option(
    "--onto",
    type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path),
    help="Add the missing numbers to this manifest instead of printing one.",
)
@click.option("--api", metavar="NAME", help="The numbers' entry of `apis` (default: meta, or that of --onto).")
@click.option(
    "--name", metavar="NAME", default="flows", show_default=True, callback=_object_name, help="The object's name."
)
@click.option(
    "--key-secret",
    metavar="NAME",
    default="flows-key",
    show_default=True,
    callback=_object_name,
    help="The object's Secret with the key.",
)
@click.option("--api-version", metavar="vX.Y", help="A version of the Cloud API.")
@click.option("--cloud-url", metavar="URL", help="As of the operator.")
@click.option("--cloud-ca", metavar="FILE", help="As of the operator.")
@click.option(
    "--cloud-proxy",
    metavar="URL",
    envvar=["HTTPS_PROXY", "https_proxy"],
    help="As of the operator (default: HTTPS_PROXY).",
)
@runs
async def export(
    target: Target,
    waba: str,
    *,
    token_secret: EntryRef | None,
    app_secret: EntryRef | None,
    onto: Path | None,
    api: str | None,
    name: str,
    key_secret: str,
    **more: str | None,
) -> int:
    """Print a BusinessEncryptionKey with all phone numbers of a WhatsApp Business Account.

    The token needs the permission whatsapp_business_management. Nothing is applied, and no key is published.
    """
    if not IDENTITY.fullmatch(waba):
        raise click.UsageError("--waba: must be the account's id, which has digits only")
    if more["api_version"] and not CLOUD_VERSION.fullmatch(more["api_version"]):
        raise click.UsageError("--api-version: must have the form v25.0")
    settings = _settings(more)
    cloud = CloudApi(
        name=api or "meta", token=token_secret or _DEFAULT_TOKEN, version=more["api_version"], app_secret=app_secret
    )
    token = None if token_secret else os.environ.get(TOKEN_VARIABLE, "").rstrip("\r\n")
    if token == "":
        raise Failed(f"there is no access token; set {TOKEN_VARIABLE}, or name a Secret with --token-secret")
    account = await _account(target, settings, cloud, waba, token)
    listed = await _listed(settings, account)
    usable = _report_unusable(listed)
    if onto is not None:
        well = _add(onto, usable, api)
    else:
        new = NewObject(
            name=name,
            namespace=checked_namespace(target.namespace) or "",
            key_secret=key_secret,
            api=cloud.name,
            token=cloud.token,
            app_secret=app_secret,
        )
        if not usable:
            raise Failed("the account has no phone number that can be used")
        if len(usable) > _MOST_NUMBERS:
            raise Failed(f"the account has {len(usable)} phone numbers; one object can list {_MOST_NUMBERS}")
        click.echo(manifest_of(new, usable), nl=False)
        well = True
    return 0 if well and len(usable) == len(listed) else NOT_WELL


def _settings(given: Mapping[str, str | None]) -> Settings:
    names = ("cloud-url", "cloud-ca", "cloud-proxy")
    try:
        return read_settings({name: given[name.replace("-", "_")] for name in names}, in_pod=False)
    except InvalidSettings as invalid:
        raise click.UsageError(str(invalid)) from None


async def _account(target: Target, settings: Settings, api: CloudApi, waba: str, token: str | None) -> CloudEndpoint:
    """Return the account's endpoint, with credentials from Secrets; a token is used in place of the Secret's."""
    secrets: dict[str, Mapping[str, bytes]] = {}
    if names := {ref.secret for ref in (None if token else api.token, api.app_secret) if ref}:
        async with Session.open(target) as session:
            secrets = {name: await session.secret(name) for name in names}
    if token:
        secrets[api.token.secret] = {**secrets.get(api.token.secret, {}), api.token.entry or "": b"-"}
    egress = EgressPolicy(hosts=settings.hosts, cloud=settings.cloud, cloud_ca=settings.cloud_ca)
    found = Endpoints("", secrets, egress).of(Number(number="", api=api, identity=waba))
    if not isinstance(found, CloudEndpoint):
        raise Failed(found.message if isinstance(found, Failure) else "")
    return replace(found, token=SecretStr(token), source=TOKEN_VARIABLE) if token else found


async def _listed(settings: Settings, account: CloudEndpoint) -> Sequence[ListedNumber]:
    # The user names the host, so any address of it can be called.
    resolver = Resolver(lambda _address, _port: True)
    http = HttpxClient(resolver, user_agent=f"bek-operator/{version('bek-operator')}", proxy=settings.cloud_proxy)
    try:
        found = await numbers_of(http, account, lambda: datetime.fromtimestamp(time.time(), UTC))
    finally:
        await http.close()
    if isinstance(found, Failure):
        raise Failed(found.message + (f"; trace {found.trace}" if found.trace else ""))
    return found


def _report_unusable(listed: Sequence[ListedNumber]) -> Sequence[ListedNumber]:
    """Return the numbers that can be used, and name the others on stderr."""
    usable: dict[str, ListedNumber] = {}
    for one in listed:
        fault = one.fault or ("it is listed twice" if one.number in usable else "")
        if fault:
            shown = one.number or "a number"
            click.echo(f"skipped: {shown}, phone number id {one.identity or 'unknown'}: {fault}", err=True)
        else:
            usable[one.number] = one
    return tuple(usable.values())


def _add(file: Path, numbers: Sequence[ListedNumber], api: str | None) -> bool:
    """Add the numbers that are missing to a manifest; return whether they contradict none that is there."""
    try:
        addition = with_numbers(read_bounded(file, MOST_BYTES).decode(), numbers, api)
    except UnicodeDecodeError:
        raise Failed(f"{file} is not UTF-8 text") from None
    except UnusableManifest as unusable:
        raise Failed(f"{file} {unusable}") from None
    if addition.added:
        file.write_bytes(addition.text.encode())
    for conflict in addition.conflicts:
        click.echo(f"warning: {conflict}", err=True)
    click.echo(f"{file}: {len(addition.added)} added, {len(numbers) - len(addition.added)} listed before")
    return not addition.conflicts
