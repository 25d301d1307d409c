"""Endpoints: where a number's API is, as whom it is called and what is trusted there."""

from dataclasses import dataclass, field
from typing import Final

from bek_operator.model.hidden import Hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An https URL in vetted parts; calls are made from these and never from a text that is parsed twice.

    Attributes:
        host: Lower-case host name or IPv4 literal that is connected to.
        port: 1 to 65535.
        path: Empty, or starting with a slash and not ending with one.
    """

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Return host and port as the `Host` header has them."""
        return self.host if self.port == 443 else f"{self.host}:{self.port}"  # noqa: PLR2004 - https


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a server's certificate is checked against.

    Attributes:
        authorities: PEM certificates of the only CAs to trust; `None` for the system's.
        server_name: The name that the certificate must carry (and that is sent as SNI).
        tenant: The namespace whose object names the server; empty where the operator's own settings do. Servers of one
            tenant share a limit on what their handshakes cost.
    """

    authorities: str | None
    server_name: str
    tenant: str = ""


Place = tuple[Url, Hidden | None]
"""Where an endpoint leads: equal ones lead to the same number."""

_SOME_SECRET: Final = "the Secret"  # noqa: S105 - a word, not a secret
_BEFORE_TAG: Final = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPremisesEndpoint:
    """The On-Premises API of one number: an API pod of its own, opened by user and password.

    Attributes:
        source: What holds user and password, in words for people.
    """

    url: Url
    trust: Trust
    username: str = field(repr=False)
    password: Hidden
    source: str = _SOME_SECRET

    @property
    def lane(self) -> str:
        """Return what calls share a limit: the API's host and port."""
        return self.url.authority

    @property
    def place(self) -> Place:
        """Return what another endpoint of the same number has as well."""
        return self.url, None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEndpoint:
    """One number at the Cloud API, or at a provider that speaks its protocol under an address of its own.

    Attributes:
        url: Everything before `/whatsapp_business_encryption`.
        provider: Whether it is a provider's, whose words for things are others than Meta's.
        header: The name of the header that carries the token.
        token: The access token or API key, bare.
        app_secret: What a proof of the token is made with, where the app demands one.
        source: What holds the token, in words for people.
    """

    url: Url
    trust: Trust
    provider: bool = False
    header: str = "Authorization"
    token: Hidden
    app_secret: Hidden | None = None
    source: str = _SOME_SECRET

    @property
    def lane(self) -> str:
        """Return what calls share a limit: the token, at its API's host."""
        return f"{self.url.authority}{_BEFORE_TAG}{self.token.tag}"

    @property
    def place(self) -> Place:
        """Return what another endpoint of the same number has as well: where the URL does not, the token selects it."""
        return self.url, self.token


Endpoint = OnPremisesEndpoint | CloudEndpoint


def is_of_token(lane: str) -> bool:
    """Tell whether a lane is a token's; otherwise it is a host's, whose name can't have that character."""
    return _BEFORE_TAG in lane
