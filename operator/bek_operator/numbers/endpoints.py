"""Builds the endpoint of a number, with credentials and CAs from Secrets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import CloudApi, EntryRef, FlowsEndpoint, Number, OnPremisesApi, ProviderApi, Spec
from bek_operator.keys.public_key import ENTRIES, MAX_ENTRY_BYTES, MAX_PASSPHRASE_BYTES
from bek_operator.net.ca_bundle import MAX_CHARACTERS, ServerTrust
from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.url import Url, parse_full_url
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.endpoint import CloudEndpoint, Endpoint, FlowEndpoint, OnPremisesEndpoint
from bek_operator.numbers.identity import url_in, url_of
from bek_operator.secret_str import SecretStr
from bek_operator.shorten import shorten

MOST_HELD_BYTES: Final = 16 * 1024 * 1024
"""Of the credentials and CA bundles that the objects of a namespace name, in memory."""


class Missing(StrEnum):
    """Why a Secret's content is not known; the value is a predicate for messages, that of `TOO_MUCH` a whole one."""

    ABSENT = "does not exist"
    FORBIDDEN = "cannot be read: RBAC forbids the operator to get it"
    TOO_MUCH = (
        "the credentials and CA bundles of this object and of older ones in the namespace take more than "
        f"{MOST_HELD_BYTES // 2**20} MiB; name fewer or smaller ones"
    )


Secrets = Mapping[str, Mapping[str, bytes] | Missing]
"""The decoded data of each Secret by name, or why there is none."""

DEFAULT_CLOUD_VERSION = "v25.0"
_LONGEST_CREDENTIAL = 1024
_LONGEST_TOKEN = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Which hosts objects can make the operator call, from its settings.

    Attributes:
        hosts: Beside the Cloud API.
        cloud: The base URL of the Cloud API.
        cloud_ca: The CA bundle for it, as PEM; `None` for the system's.
    """

    hosts: AllowedHosts
    cloud: Url
    cloud_ca: str | None = None


def wanted_entries(spec: Spec) -> dict[str, dict[str, int]]:
    """Return by Secret the entries that an object needs, and how many bytes of each are of use."""
    wanted: dict[str, dict[str, int]] = {}
    for ref, most in _entries(spec):
        entries, name = wanted.setdefault(ref.secret, {}), ref.entry or ""
        entries[name] = max(most, entries.get(name, 0))
    return wanted


def held_bytes(spec: Spec, secrets: Secrets) -> int:
    """Return how much memory the entries take that an object's numbers hold: credentials and CA bundles."""
    found = (_raw(ref, secrets) for ref in dict(_held_entries(spec)))
    # A text with a single character beyond Latin-1 takes four bytes for each.
    return sum(len(raw) if raw.isascii() else 4 * len(raw) for raw in found if isinstance(raw, bytes))


def _entries(spec: Spec) -> Iterator[tuple[EntryRef, int]]:
    key = spec.key
    for entry in ENTRIES if key.entry is None else (key.entry,):
        yield replace(key, entry=entry), MAX_ENTRY_BYTES
    if spec.passphrase_entry:
        yield replace(key, entry=spec.passphrase_entry), MAX_PASSPHRASE_BYTES
    yield from _held_entries(spec)


def _held_entries(spec: Spec) -> Iterator[tuple[EntryRef, int]]:
    if spec.flows_endpoint:
        yield from _optional(spec.flows_endpoint.app_secret, _LONGEST_CREDENTIAL)
        yield from _optional(spec.flows_endpoint.ca_bundle, MAX_CHARACTERS)
    for api in dict.fromkeys(number.api for number in spec.numbers):
        match api:
            case OnPremisesApi():
                yield replace(api.credentials, entry="username"), _LONGEST_CREDENTIAL
                yield replace(api.credentials, entry="password"), _LONGEST_CREDENTIAL
                yield from _optional(api.ca_bundle, MAX_CHARACTERS)
            case CloudApi():
                yield api.token, _LONGEST_TOKEN
                yield from _optional(api.app_secret, _LONGEST_CREDENTIAL)
            case ProviderApi():
                yield from _optional(api.ca_bundle, MAX_CHARACTERS)
    for number in spec.numbers:
        if isinstance(number.api, ProviderApi):
            yield _api_key(number.api, number), _LONGEST_TOKEN


def _optional(ref: EntryRef | None, most: int) -> Iterator[tuple[EntryRef, int]]:
    if ref:
        yield ref, most


def _api_key(api: ProviderApi, number: Number) -> EntryRef:
    return replace(api.api_key, entry=number.fill_in(api.api_key.entry or ""))


class _Problem(Exception):
    def __init__(self, reason: Reason, message: str, retry: Retry = Retry.TERMINAL) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message, retry=retry)


class Endpoints:
    """The endpoints of one object's numbers; Secret entries that they share are decoded once."""

    def __init__(self, namespace: str, secrets: Secrets, egress: EgressPolicy) -> None:
        self._namespace = namespace
        self._secrets = secrets
        self._egress = egress
        self._texts: dict[EntryRef, str] = {}
        self._hidden: dict[EntryRef, SecretStr] = {}

    def of(self, number: Number) -> Endpoint | Failure:
        """Return a number's endpoint, or why it has none."""
        try:
            match number.api:
                case OnPremisesApi():
                    return self._on_premises(number.api, number)
                case CloudApi():
                    return self._cloud(number.api, number)
                case ProviderApi():
                    return self._provider(number.api, number)
        except _Problem as problem:
            return problem.failure
        message = f"this version of the operator does not support APIs of type {number.api.type}"
        return Failure(reason=Reason.UNSUPPORTED, message=message, retry=Retry.TERMINAL)

    def flow_endpoint(self, written: FlowsEndpoint) -> FlowEndpoint | Failure:
        """Return the business's Flow endpoint, or why it cannot be called."""
        try:
            found = url_in(written.url, self._namespace, parse_full_url)
            url, trust = self._allowed(written, found, "`flowsEndpoint.url`")
            secret = self._secret(written.app_secret, _LONGEST_CREDENTIAL) if written.app_secret else None
        except _Problem as problem:
            return problem.failure
        return FlowEndpoint(url=url, trust=trust, app_secret=secret)

    def _on_premises(self, api: OnPremisesApi, number: Number) -> OnPremisesEndpoint:
        login = replace(api.credentials, entry="username")
        username = self._text(login, _LONGEST_CREDENTIAL)
        password = self._secret(replace(login, entry="password"), _LONGEST_CREDENTIAL)
        if ":" in username:
            raise _Problem(
                Reason.INVALID_CREDENTIALS,
                f"{_named(login)} must not contain a colon (HTTP basic authentication forbids it)",
            )
        url, trust = self._allowed(api, url_of(api, number, self._namespace), f"`url` of api {api.name}")
        return OnPremisesEndpoint(
            url=url, trust=trust, username=username, password=password, source=f"Secret {shorten(login.secret)}"
        )

    def _cloud(self, api: CloudApi, number: Number) -> CloudEndpoint:
        base = self._egress.cloud
        return CloudEndpoint(
            url=replace(base, path=f"{base.path}/{api.version or DEFAULT_CLOUD_VERSION}/{number.identity}"),
            trust=ServerTrust(ca_bundle=self._egress.cloud_ca, server_name=base.host),
            token=self._secret(api.token, _LONGEST_TOKEN),
            app_secret=self._secret(api.app_secret, _LONGEST_CREDENTIAL) if api.app_secret else None,
            source=_named(api.token),
        )

    def _provider(self, api: ProviderApi, number: Number) -> CloudEndpoint:
        entry = _api_key(api, number)
        token = self._secret(entry, _LONGEST_TOKEN)
        url, trust = self._allowed(api, url_of(api, number, self._namespace), f"`url` of api {api.name}")
        return CloudEndpoint(url=url, trust=trust, provider=True, header=api.header, token=token, source=_named(entry))

    def _allowed(
        self, callee: OnPremisesApi | ProviderApi | FlowsEndpoint, found: tuple[Url, str] | None, field: str
    ) -> tuple[Url, ServerTrust]:
        """Return what to call, and what to trust, if that is allowed; `field` is what the URL is in."""
        if found is None:
            raise _Problem(Reason.HOST_NOT_ALLOWED, f"{field} is not a valid https URL")
        url, written = found
        if not self._egress.hosts.allows(url, self._namespace, cloud_host=self._egress.cloud.authority):
            raise _Problem(Reason.HOST_NOT_ALLOWED, self._egress.hosts.refusal(url))
        ca_bundle = self._text(callee.ca_bundle, MAX_CHARACTERS) if callee.ca_bundle else None
        return url, ServerTrust(ca_bundle=ca_bundle, server_name=callee.server_name or written, tenant=self._namespace)

    def _secret(self, ref: EntryRef, longest: int) -> SecretStr:
        if ref not in self._hidden:
            self._hidden[ref] = SecretStr(self._text(ref, longest))
        return self._hidden[ref]

    def _text(self, ref: EntryRef, longest: int) -> str:
        if ref not in self._texts:
            self._texts[ref] = _text(ref, self._secrets, longest)
        return self._texts[ref]


def _raw(ref: EntryRef, secrets: Secrets) -> bytes | Missing | None:
    data = secrets.get(ref.secret, Missing.ABSENT)
    return data if isinstance(data, Missing) else data.get(ref.entry or "")


def _text(ref: EntryRef, secrets: Secrets, longest: int) -> str:
    raw = _raw(ref, secrets)
    if raw is Missing.TOO_MUCH:
        raise _Problem(Reason.INVALID_CREDENTIALS, str(raw))
    if isinstance(raw, Missing):
        raise _Problem(Reason.CREDENTIALS_NOT_FOUND, f"Secret {shorten(ref.secret)} {raw}", Retry.TRANSIENT)
    if raw is None:
        raise _Problem(Reason.CREDENTIALS_NOT_FOUND, f"{_named(ref)} {Missing.ABSENT}", Retry.TRANSIENT)
    if len(raw) > longest:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is longer than {longest} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is not UTF-8 text") from None
    if not text:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is empty")
    return text


def _named(ref: EntryRef) -> str:
    return f"entry {shorten(ref.entry or '')} of Secret {shorten(ref.secret)}"
