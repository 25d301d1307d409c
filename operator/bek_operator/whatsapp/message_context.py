"""What messages about an API name: its host, and the Secret and the settings that a user should check."""

from dataclasses import dataclass
from typing import Final

from bek_operator.numbers.endpoint import CloudEndpoint, FlowEndpoint, OnPremisesEndpoint
from bek_operator.shorten import shorten
from bek_operator.whatsapp.secret_text import flaw_of, flaw_of_access_token

MAX_HOST: Final = 60
MAX_SOURCE: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
    """The values for the placeholders of message templates.

    Attributes:
        host: Host and port of the API, cut to `MAX_HOST` characters.
        source: What holds the credentials, cut to `MAX_SOURCE` characters.
        url: The setting for the API's URL.
        ca_bundle: The setting for the CA bundle.
        server_name: The setting for the name that the certificate must have.
        provider: Whether it is a provider, whose customers have no access token, system user or app.
        flaw: What seems to be wrong with the text of a credential, shown once the API refuses it; empty for nothing.
    """

    host: str
    source: str
    url: str
    ca_bundle: str = "`tls.caSecretRef`"
    server_name: str = "`tls.serverName`"
    provider: bool = False
    flaw: str = ""

    def render(self, template: str) -> str:
        """Return the message of a template; its values come from the object's owner, never from a server."""
        return template.format(
            host=self.host,
            source=self.source,
            url=self.url,
            ca_bundle=self.ca_bundle,
            server_name=self.server_name,
        )


def context_of(endpoint: OnPremisesEndpoint | CloudEndpoint) -> MessageContext:
    """Return the context of calls to an endpoint."""
    host = shorten(endpoint.url.authority, MAX_HOST)
    source = shorten(endpoint.source, MAX_SOURCE)
    if isinstance(endpoint, OnPremisesEndpoint):
        flaw = _flaw("the password", flaw_of(endpoint.password.reveal()))
        flaw = flaw or _flaw("the user name", flaw_of(endpoint.username))
        return MessageContext(host=host, source=source, url="`onPremises.url`", flaw=flaw)
    token = endpoint.token.reveal()
    if endpoint.provider:
        flaw = _flaw("the API key", flaw_of(token))
        return MessageContext(host=host, source=source, url="`provider.url`", provider=True, flaw=flaw)
    return MessageContext(
        host=host,
        source=source,
        url="--cloud-url and any proxy",
        ca_bundle="--cloud-ca",
        server_name="--cloud-url",
        flaw=_flaw("the access token", flaw_of_access_token(token)),
    )


def flow_context(endpoint: FlowEndpoint) -> MessageContext:
    """Return the context of pings to a Flow endpoint."""
    return MessageContext(
        host=shorten(endpoint.url.authority, MAX_HOST),
        source="`flowsEndpoint.appSecretRef`",
        url="`flowsEndpoint.url`",
        ca_bundle="`flowsEndpoint.tls.caSecretRef`",
        server_name="`flowsEndpoint.tls.serverName`",
    )


def _flaw(what: str, message: str) -> str:
    return f"{what} {message}" if message else ""
