"""Peers: whom a call goes to, in the words by which a person finds what to look at."""

from dataclasses import dataclass
from typing import Final

from bek_operator.numbers.endpoint import CloudEndpoint, OnPremisesEndpoint
from bek_operator.whatsapp.secret_text import flaw_of, flaw_of_access_token

LONGEST_HOST: Final = 60
LONGEST_SOURCE: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
    """What messages about one API name; its members fill the gaps of their templates.

    Attributes:
        host: Where the API is, cut to `LONGEST_HOST`.
        source: What holds the credentials, cut to `LONGEST_SOURCE`.
        url: The setting that says where the API is.
        authorities: The setting that says whom to trust there.
        server_name: The setting that says for which name a certificate has to be.
        provider: Whether it is a provider, whose customers know no token, system user or app.
        flaw: What seems to be wrong with the text of a credential, to be told where it is refused; empty for nothing.
    """

    host: str
    source: str
    url: str
    ca_bundle: str = "`tls.caSecretRef`"
    server_name: str = "`tls.serverName`"
    provider: bool = False
    flaw: str = ""

    def fill_in(self, template: str) -> str:
        """Return a message; a template is our own, and what it is filled with was written by the object's owner."""
        return template.format(
            host=self.host,
            source=self.source,
            url=self.url,
            ca_bundle=self.ca_bundle,
            server_name=self.server_name,
        )


def context_of(endpoint: OnPremisesEndpoint | CloudEndpoint) -> MessageContext:
    """Return whom calls to an endpoint go to."""
    host = _cut(endpoint.url.authority, LONGEST_HOST)
    source = _cut(endpoint.source, LONGEST_SOURCE)
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


def _flaw(what: str, message: str) -> str:
    return f"{what} {message}" if message else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
