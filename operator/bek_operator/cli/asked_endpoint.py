"""What to ask a Flow endpoint: from an object and its Secrets, and from the command line in place of these."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from bek_operator.cli.egress import EVERY_HOST
from bek_operator.cli.running import Failed
from bek_operator.cli.session import Session
from bek_operator.cluster.errors import Forbidden, NotFound
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import FlowsEndpoint, InvalidSpec, SignatureStatus, Spec
from bek_operator.keys.public_key import InvalidKey, PublicKey, public_key_from_secret
from bek_operator.keys.rotation import PREVIOUS
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.numbers.endpoints import Endpoints
from bek_operator.secret_str import SecretStr

_MOST_PREVIOUS: Final = 4
_LINES: Final = "\n       "


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line says; `None` where it says nothing."""

    url: Url | None
    key: PublicKey | None
    app_secret: SecretStr | None
    ca_bundle: str | None
    server_name: str | None

    def applied(self, endpoint: FlowEndpoint) -> FlowEndpoint:
        """Return an endpoint with what was given in place of its own; the certificate is for its host."""
        name = self.server_name or (self.url.host if self.url else endpoint.trust.server_name)
        trust = replace(endpoint.trust, ca_bundle=self.ca_bundle or endpoint.trust.ca_bundle, server_name=name)
        app_secret = self.app_secret or endpoint.app_secret
        return replace(endpoint, url=self.url or endpoint.url, trust=trust, app_secret=app_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedEndpoint:
    """What to ask: whether an endpoint opens what is encrypted to a key, and to earlier ones."""

    endpoint: FlowEndpoint
    key: PublicKey
    earlier: tuple[PublicKey, ...] = ()


def asked_at(url: Url, key: PublicKey, given: Given) -> AskedEndpoint:
    """Return what to ask at an address, without an object."""
    return AskedEndpoint(endpoint=given.applied(_at(url)), key=key)


async def asked_of_object(session: Session, name: str, given: Given) -> AskedEndpoint:
    """Return what to ask for an object; Secrets in whose place something was given are not read.

    Raises:
        ClusterError: The object cannot be read.
        Failed: Something else is missing or unusable; the message says what, and what to give instead.
    """
    resource = (await session.objects.read(name)).resource
    spec = resource.spec
    if isinstance(spec, InvalidSpec):
        raise Failed(f"the spec cannot be used: {spec.message}")
    written = spec.flows_endpoint or given.url
    if written is None:
        raise Failed(f"{name} has no `flowsEndpoint`; name its address with --url")
    secrets = await _secrets(session, _needed(spec, given))
    endpoint = given.applied(_endpoint(written, resource.ref.namespace, secrets, given))
    if given.key:
        return AskedEndpoint(endpoint=endpoint, key=given.key)
    data = secrets[spec.key.secret]
    try:
        key = public_key_from_secret(data, entry=spec.key.entry, passphrase_entry=spec.passphrase_entry)
    except InvalidKey as fault:
        raise Failed(f"Secret {spec.key.secret} has no usable key: {fault}") from None
    return AskedEndpoint(endpoint=endpoint, key=key, earlier=tuple(_earlier(resource, spec, data, key)))


def _needed(spec: Spec, given: Given) -> Iterator[tuple[str, str]]:
    """Yield each Secret in whose place nothing was given, and what to give instead."""
    endpoint = spec.flows_endpoint
    if endpoint and endpoint.app_secret and not given.app_secret:
        yield endpoint.app_secret.secret, "the app secret with --app-secret-file or --app-secret-env"
    if endpoint and endpoint.ca_bundle and not given.ca_bundle:
        yield endpoint.ca_bundle.secret, "the CA with --ca"
    if not given.key:
        yield spec.key.secret, "the key with --key"


async def _secrets(session: Session, needed: Iterable[tuple[str, str]]) -> Mapping[str, Mapping[str, bytes]]:
    found: dict[str, Mapping[str, bytes]] = {}
    faults = []
    for name, instead in needed:
        try:
            found[name] = await session.secret(name)
        except (Forbidden, NotFound) as error:
            faults.append(f"{error}; name {instead}")
    if faults:
        raise Failed(_LINES.join(faults))
    return found


def _endpoint(
    written: FlowsEndpoint | Url, namespace: str, secrets: Mapping[str, Mapping[str, bytes]], given: Given
) -> FlowEndpoint:
    if isinstance(written, Url):
        return _at(written)
    needed = replace(
        written,
        app_secret=None if given.app_secret else written.app_secret,
        ca_bundle=None if given.ca_bundle else written.ca_bundle,
    )
    found = Endpoints(namespace, secrets, EVERY_HOST).flow_endpoint(needed)
    if isinstance(found, Failure):
        raise Failed(found.message)
    return found


def _earlier(
    resource: BusinessEncryptionKey, spec: Spec, data: Mapping[str, bytes], key: PublicKey
) -> Iterator[PublicKey]:
    """Yield the keys that numbers still hold, as far as `kubectl bek rotate` has kept them in the Secret."""
    rows = resource.status.rows.values()
    held = {row.fingerprint for row in rows if row.status is SignatureStatus.VALID} - {key.fingerprint}
    for entry in sorted(name for name in data if name.startswith(PREVIOUS))[:_MOST_PREVIOUS]:
        with suppress(InvalidKey):
            found = public_key_from_secret(data, entry=entry, passphrase_entry=spec.passphrase_entry)
            if found.fingerprint in held:
                yield found


def _at(url: Url) -> FlowEndpoint:
    return FlowEndpoint(url=url, trust=ServerTrust(ca_bundle=None, server_name=url.host))
