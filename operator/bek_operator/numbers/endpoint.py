"""Endpoints: the address of a number's API, the credentials, and the CAs to trust."""

from dataclasses import dataclass, field
from typing import Final

from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.secret_str import SecretStr

Identity = tuple[Url, SecretStr | None]
"""The identity of an endpoint: equal ones lead to the same number."""

_SOME_SECRET: Final = "the Secret"  # noqa: S105 - a word, not a secret
_BEFORE_TAG: Final = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPremisesEndpoint:
    """The On-Premises API of one number: an API pod of its own, with user name and password.

    Attributes:
        source: The Secret with user name and password, for messages.
    """

    url: Url
    trust: ServerTrust
    username: str = field(repr=False)
    password: SecretStr
    source: str = _SOME_SECRET

    @property
    def limiter_key(self) -> str:
        """Return the limiter key: the API's host and port."""
        return self.url.authority

    @property
    def identity(self) -> Identity:
        """Return the identity."""
        return self.url, None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEndpoint:
    """One number at the Cloud API, or at a provider that offers its protocol at another address.

    Attributes:
        url: Everything before `/whatsapp_business_encryption`.
        provider: Whether it is a provider's, for which other messages apply.
        header: The name of the header that carries the token.
        token: The access token or API key, bare.
        app_secret: The app secret for `appsecret_proof`, if the app requires one.
        source: The Secret entry with the token, for messages.
    """

    url: Url
    trust: ServerTrust
    provider: bool = False
    header: str = "Authorization"
    token: SecretStr
    app_secret: SecretStr | None = None
    source: str = _SOME_SECRET

    @property
    def limiter_key(self) -> str:
        """Return the limiter key: the token, at its API's host."""
        return f"{self.url.authority}{_BEFORE_TAG}{self.token.tag}"

    @property
    def identity(self) -> Identity:
        """Return the identity; the token is part of it if the URL does not select the number."""
        return self.url, self.token


Endpoint = OnPremisesEndpoint | CloudEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEndpoint:
    """The business's own Flow endpoint, which decrypts what clients send.

    Attributes:
        app_secret: What requests are signed with, as Meta does; without it they are not signed.
    """

    url: Url
    trust: ServerTrust
    app_secret: SecretStr | None = None

    @property
    def limiter_key(self) -> str:
        """Return the limiter key: the endpoint's host and port."""
        return self.url.authority


def is_token_limiter(limiter_key: str) -> bool:
    """Return whether a limiter key is a token's; otherwise it is a host's, whose name can't have that character."""
    return _BEFORE_TAG in limiter_key
