"""Each endpoint is spoken to by the backend of its kind; what a lane can take depends on its kind, too."""

import json

from bek_operator.model.answers import Accepted, Failure, Reading
from bek_operator.model.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint, Trust, Url
from bek_operator.model.hidden import Hidden
from bek_operator.whatsapp.backends import Backends
from bek_operator.whatsapp.budget import Budgets
from bek_operator.whatsapp.protocol import Backend

URL = Url(host="api.test", port=443, path="")
TRUST = Trust(authorities=None, server_name="api.test")
POD = OnPremisesEndpoint(url=URL, trust=TRUST, username="admin", password=Hidden("secret"))
NUMBER = CloudEndpoint(url=URL, trust=TRUST, token=Hidden("t"))
NOW = 1_795_000_000.0


class Recorder:
    """A backend that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Endpoint, str | None]] = []
        self.closed = False

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Answer that nothing is there."""
        self.asked.append((endpoint, None))
        return Reading(status=None, fingerprint=None)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Take the key."""
        self.asked.append((endpoint, public_key))
        return Accepted()

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


async def test_each_by_its_kind() -> None:
    """A pod is asked by the one backend, a Cloud number by the other, and both are closed."""
    pods, cloud = Recorder(), Recorder()
    backends: Backend[Endpoint] = Backends(pods, cloud, Budgets(), per_host=8)
    for endpoint in (POD, NUMBER):
        assert isinstance(await backends.read(endpoint), Reading)
        assert await backends.publish(endpoint, "key") == Accepted()
    await backends.close()
    assert pods.asked == [(POD, None), (POD, "key")]
    assert cloud.asked == [(NUMBER, None), (NUMBER, "key")]
    assert pods.closed
    assert cloud.closed


def test_lanes() -> None:
    """A host always takes so many numbers at once; what a token takes is in its budget, though the host is the same."""
    budgets = Budgets()
    backends = Backends(Recorder(), Recorder(), budgets, per_host=8)
    for lane, room in ((POD.lane, 8), (NUMBER.lane, 10)):
        assert {backends.room(lane, NOW, urgent=urgent) for urgent in (True, False)} == {room}
        assert backends.opens_at(lane, NOW, urgent=False) == NOW
    full = {"x-app-usage": json.dumps({"call_count": 80})}
    for endpoint in (POD, NUMBER):
        budgets.learn(endpoint.lane, full, refused=False, now=NOW)
    assert (backends.room(POD.lane, NOW, urgent=False), backends.opens_at(POD.lane, NOW, urgent=False)) == (8, NOW)
    assert backends.room(NUMBER.lane, NOW, urgent=False) == 0
    assert backends.room(NUMBER.lane, NOW, urgent=True) > 0
    assert backends.opens_at(NUMBER.lane, NOW, urgent=False) > NOW
