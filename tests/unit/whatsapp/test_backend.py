"""Each endpoint is served by the backend of its kind, and limited by the limiter of its kind."""

import json

from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.backend import Backend, Backends
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters

URL = Url(host="api.test", port=443, path="")
TRUST = ServerTrust(ca_bundle=None, server_name="api.test")
POD = OnPremisesEndpoint(url=URL, trust=TRUST, username="admin", password=SecretStr("secret"))
NUMBER = CloudEndpoint(url=URL, trust=TRUST, token=SecretStr("t"))
NOW = 1_795_000_000.0


class Recorder:
    """A backend that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Endpoint, str | None]] = []
        self.closed = False

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Return that there is no key."""
        self.calls.append((endpoint, None))
        return Reading(status=None, fingerprint=None)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Accept the key."""
        self.calls.append((endpoint, public_key))
        return Accepted()

    async def close(self) -> None:
        """Record the close."""
        self.closed = True


async def test_backend_of_an_endpoint() -> None:
    """A pod is served by one backend, a Cloud number by the other, and both are closed."""
    pods, cloud = Recorder(), Recorder()
    backends: Backend[Endpoint] = Backends(pods, cloud, RateLimiters(), per_host=8)
    for endpoint in (POD, NUMBER):
        assert isinstance(await backends.read(endpoint), Reading)
        assert await backends.publish(endpoint, "key") == Accepted()
    await backends.close()
    assert pods.calls == [(POD, None), (POD, "key")]
    assert cloud.calls == [(NUMBER, None), (NUMBER, "key")]
    assert pods.closed
    assert cloud.closed


def test_limiters() -> None:
    """The limiter of a host is a constant, that of a token follows its usage, even on the same host."""
    rate_limiters = RateLimiters()
    backends = Backends(Recorder(), Recorder(), rate_limiters, per_host=8)
    for limiter_key, capacity in ((POD.limiter_key, 8), (NUMBER.limiter_key, 10)):
        assert {backends.capacity(limiter_key, NOW, urgent=urgent) for urgent in (True, False)} == {capacity}
        assert backends.available_at(limiter_key, NOW, urgent=False) == NOW
    full = {"x-app-usage": json.dumps({"call_count": 80})}
    for endpoint in (POD, NUMBER):
        rate_limiters.record(endpoint.limiter_key, full, refused=False, now=NOW)
    assert (
        backends.capacity(POD.limiter_key, NOW, urgent=False),
        backends.available_at(POD.limiter_key, NOW, urgent=False),
    ) == (8, NOW)
    assert backends.capacity(NUMBER.limiter_key, NOW, urgent=False) == 0
    assert backends.capacity(NUMBER.limiter_key, NOW, urgent=True) > 0
    assert backends.available_at(NUMBER.limiter_key, NOW, urgent=False) > NOW
