"""Each endpoint is spoken to by the backend of its kind; what a lane can take depends on its kind, too."""

import json

from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.backends import Backends
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters

URL = Url(host="api.test", port=443, path="")
TRUST = Trust(ca_bundle=None, server_name="api.test")
POD = OnPremisesEndpoint(url=URL, trust=TRUST, username="admin", password=SecretStr("secret"))
NUMBER = CloudEndpoint(url=URL, trust=TRUST, token=SecretStr("t"))
NOW = 1_795_000_000.0


class Recorder:
    """A backend that only remembers what it was asked."""

    def __init__(self) -> None:
        self.check_requested: list[tuple[Endpoint, str | None]] = []
        self.closed = False

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Answer that nothing is there."""
        self.check_requested.append((endpoint, None))
        return Reading(status=None, fingerprint=None)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Take the key."""
        self.check_requested.append((endpoint, public_key))
        return Accepted()

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


async def test_each_by_its_kind() -> None:
    """A pod is asked by the one backend, a Cloud number by the other, and both are closed."""
    pods, cloud = Recorder(), Recorder()
    backends: Backend[Endpoint] = Backends(pods, cloud, RateLimiters(), per_host=8)
    for endpoint in (POD, NUMBER):
        assert isinstance(await backends.read(endpoint), Reading)
        assert await backends.publish(endpoint, "key") == Accepted()
    await backends.close()
    assert pods.check_requested == [(POD, None), (POD, "key")]
    assert cloud.check_requested == [(NUMBER, None), (NUMBER, "key")]
    assert pods.closed
    assert cloud.closed


def test_lanes() -> None:
    """A host always takes so many numbers at once; what a token takes is in its budget, though the host is the same."""
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
