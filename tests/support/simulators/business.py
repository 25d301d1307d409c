"""A business of one test at a Cloud API that tests share: its app, token, business account and numbers.

And what a customer of a provider has.
"""

from collections.abc import Collection, Iterable
from typing import Any

from support.cluster.scene import secret
from support.simulators.cloud import Cloud
from support.simulators.cloud_number import CloudNumber
from support.simulators.graph_tokens import MESSAGING, Token
from support.simulators.provider import Provider

API, TOKEN_SECRET, APP_SECRET = "meta", "meta-token", "meta-app"
_PROVIDER_KEYS, _PROVIDER_CA = "provider-keys", "provider-ca"
_FIRST_WABA = 102290129340399


class Business:
    """A business at Meta; its token is used until `replace_token` makes another.

    Attributes:
        cloud: The API.
        numbers: In the order of `add`.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.numbers: list[CloudNumber] = []
        self.app = cloud.app()
        self.token = cloud.token(app=self.app)
        self._waba = str(_FIRST_WABA + int(self.app.id[-7:]))

    def add(self, number: str = "", identity: str | None = None) -> CloudNumber:
        """Add a number, by default one that no other business has."""
        found = self.cloud.add(number or f"+1666{len(self.cloud.numbers):07}", identity=identity, waba=self._waba)
        self.numbers.append(found)
        return found

    def replace_token(self, permissions: Collection[str] = frozenset({MESSAGING})) -> Token:
        """Issue another token; the previous one stays valid."""
        self.token = self.cloud.token(app=self.app, permissions=permissions)
        return self.token

    def secrets(self, app_secret: str = "") -> list[dict[str, Any]]:
        """Return the Secrets with the token, and with the app's secret (or another one)."""
        return [
            secret(TOKEN_SECRET, {"token": self.token.text}),
            secret(APP_SECRET, {"secret": app_secret or self.app.secret}),
        ]

    def api(self, name: str = API, token_secret: str = TOKEN_SECRET, *, proof: bool = False) -> dict[str, Any]:
        """Return an entry of `spec.apis`; with `proof`, every call carries an appsecret_proof."""
        cloud: dict[str, Any] = {"tokenSecretRef": {"name": token_secret, "key": "token"}}
        if proof:
            cloud["appSecretRef"] = {"name": APP_SECRET, "key": "secret"}
        return {"name": name, "type": "Cloud", "cloud": cloud}

    def listed(self, numbers: Iterable[CloudNumber] | None = None, api: str = API) -> list[dict[str, str]]:
        """Return entries of `spec.phoneNumbers`, by default of all numbers."""
        chosen = self.numbers if numbers is None else numbers
        return [{"phoneNumber": one.number, "api": api, "phoneNumberID": one.id} for one in chosen]

    def strays(self, token: Token) -> list[str]:
        """Return the paths of requests with a token that were for no number at all."""
        return [record.path for record in self.cloud.elsewhere.requests if record.token == token.name]


def provider_api(provider: Provider) -> dict[str, Any]:
    """Return an entry of `spec.apis` that leads to a provider."""
    return {
        "name": "bsp",
        "type": "Provider",
        "provider": {
            "url": provider.url,
            "apiKeyHeader": provider.header,
            "apiKeySecretRef": {"name": _PROVIDER_KEYS, "key": "{digits}"},
            "tls": {"caSecretRef": {"name": _PROVIDER_CA, "key": "ca.crt"}},
        },
    }


def provider_secrets(provider: Provider) -> list[dict[str, Any]]:
    """Return the Secrets with the API keys of all numbers and with the provider's CA."""
    api_keys = {number.digits: provider.key(number.number) for number in provider.numbers.values()}
    return [secret(_PROVIDER_KEYS, api_keys), secret(_PROVIDER_CA, {"ca.crt": provider.certificate.authority})]
