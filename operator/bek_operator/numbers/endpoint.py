"""Endpoints: where a number's API is, as whom it is called and what is trusted there."""

from dataclasses import dataclass, field
from typing import Final

from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.secret_str import SecretStr

Identity = tuple[Url, SecretStr | None]
"""Where an endpoint leads: equal ones lead to the same number."""

_SOME_SECRET: Final = "the Secret"  # noqa: S105 - a word, not a secret
_BEFORE_TAG: Final = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPremisesEndpoint:
    """The On-Premises API of one number: an API pod of its own, opened by user and password.

    Attributes:
        source: What holds user and password, as messages name it.
    """

    url: Url
    trust: ServerTrust
    username: str = field(repr=False)
    password: SecretStr
    source: str = _SOME_SECRET

    @property
    def limiter_key(self) -> str:
        """Return what calls share a limit: the API's host and port."""
        return self.url.authority

    @property
    def identity(self) -> Identity:
        """Return what another endpoint of the same number has as well."""
        return self.url, None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEndpoint:
    """One number at the Cloud API, or at a provider that speaks its protocol under an address of its own.

    Attributes:
        url: Everything before `/whatsapp_business_encryption`.
        provider: Whether it is a provider's, which names things in another way than Meta.
        header: The name of the header that carries the token.
        token: The access token or API key, bare.
        app_secret: What a proof of the token is made with, where the app demands one.
        source: What holds the token, as messages name it.
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
        """Return what calls share a limit: the token, at its API's host."""
        return f"{self.url.authority}{_BEFORE_TAG}{self.token.tag}"

    @property
    def identity(self) -> Identity:
        """Return what another endpoint of the same number has as well: where the URL does not, the token selects it."""
        return self.url, self.token


Endpoint = OnPremisesEndpoint | CloudEndpoint


def is_token_limiter(limiter_key: str) -> bool:
    """Return whether a limiter key is a token's; otherwise it is a host's, whose name can't have that character."""
    return _BEFORE_TAG in limiter_key
