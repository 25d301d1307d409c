"""What happens to an operator and its numbers, and which alerts that must raise; in virtual time.

Every scene has its series in `fixtures`, and no alert fires in it but those named.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bek_operator.cluster.errors import Forbidden
from monitoring.stage import HOUR, MINUTE, Stage
from support import keys
from support.builders import KEY_SECRET, TOKEN_SECRET
from support.fakes import unavailable
from support.simulators.graph_errors import graph_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

OURS, NEW, OTHER = keys.rsa(), keys.rsa("second"), keys.rsa("third")


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens, and after how many minutes which alerts fire."""

    play: Callable[[Stage], Awaitable[None]]
    fires: Mapping[str, float]

    @property
    def name(self) -> str:
        """The name of its fixture."""
        return self.play.__name__.replace("_", "-")


SCENES: dict[str, Scene] = {}


def scene(**fires: float) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    """Register a scene with the alerts that fire, and in which minute they do."""

    def register(play: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        one = Scene(play, fires)
        SCENES[one.name] = one
        return play

    return register


# Nothing to be told of.


@scene()
async def healthy(stage: Stage) -> None:
    """Two hours in which nothing happens."""
    stage.create()
    async with stage.leader():
        await stage.at(2 * HOUR)


@scene()
async def rotation_of_1000_numbers(stage: Stage) -> None:
    """A new key for an object of a thousand numbers."""
    stage.create(1000)
    stage.hold(OURS)
    async with stage.leader():
        await stage.until_all_ready()
        await stage.at(30 * MINUTE)
        stage.secrets.put_key(NEW)
        await stage.at(90 * MINUTE)
        assert all(one.holds(NEW.public) for one in stage.numbers)


@scene()
async def paused_rollout(stage: Stage) -> None:
    """The other numbers get the new key an hour after the first, as their owner wants it."""
    stage.create(rollout={"type": "FirstNumber", "firstNumber": {"phoneNumber": "+15550000001", "pauseSeconds": 3600}})
    stage.hold(OURS)
    async with stage.leader():
        await stage.until_all_ready()
        await stage.at(10 * MINUTE)
        stage.secrets.put_key(NEW)
        await stage.at(90 * MINUTE)
        assert all(one.holds(NEW.public) for one in stage.numbers)


@scene()
async def lost_signature(stage: Stage) -> None:
    """A number that is registered again, and gets its key back at the next check."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.numbers[4].re_register()
        await stage.at(60 * MINUTE)
        assert stage.numbers[4].publishes == 2


@scene()
async def repaired_by_hand(stage: Stage) -> None:
    """An object that never publishes reports a lost signature, and somebody repairs that five minutes later."""
    stage.create(publishPolicy="Never", intervalSeconds=60)
    stage.hold(OURS)
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.numbers[4].re_register()
        await stage.at(25 * MINUTE)
        stage.numbers[4].release()
        await stage.at(60 * MINUTE)


@scene()
async def short_outage_of_the_api(stage: Stage) -> None:
    """The Cloud API can't be reached for ten minutes."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.line.cut = True
        await stage.at(30 * MINUTE)
        stage.line.cut = False
        await stage.at(90 * MINUTE)


@scene()
async def short_rate_limit(stage: Stage) -> None:
    """Another program uses the rate limit up for half an hour."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.api.fail("any", graph_error(80007), times=None)
        await stage.at(50 * MINUTE)
        stage.api.heal()
        await stage.at(2 * HOUR)


@scene()
async def api_server_away(stage: Stage) -> None:
    """Kubernetes' API server can't be reached for ten minutes, in which a number loses its signature."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.objects.error = stage.secrets.error = unavailable()
        stage.numbers[4].re_register()
        await stage.at(30 * MINUTE)
        stage.objects.error = stage.secrets.error = None
        await stage.at(90 * MINUTE)


@scene()
async def restart(stage: Stage) -> None:
    """The process ends, and a minute later its container runs again."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
    await stage.at(21 * MINUTE)
    async with stage.leader():
        await stage.at(90 * MINUTE)


@scene()
async def rolling_upgrade(stage: Stage) -> None:
    """New replicas come while old ones go, one after the other, with a thousand numbers."""
    stage.create(1000)
    stage.hold(OURS)
    async with stage.leader("bek-operator-old-1"):
        async with stage.replica("bek-operator-old-2"):
            await stage.at(20 * MINUTE)
        async with stage.replica("bek-operator-new-1"):
            await stage.at(21 * MINUTE)
    async with stage.leader("bek-operator-new-1"), stage.replica("bek-operator-new-2"):
        await stage.at(90 * MINUTE)


@scene()
async def suspended(stage: Stage) -> None:
    """An object that is suspended, and then loses a signature."""
    ref = stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.objects.edit(ref, suspend=True)
        stage.numbers[4].re_register()
        await stage.at(6 * HOUR)


@scene()
async def suspended_before_it_was_signed(stage: Stage) -> None:
    """An object that nobody has let the operator begin with."""
    stage.create(suspend=True)
    async with stage.leader():
        await stage.at(2 * HOUR)


@scene()
async def short_mistakes(stage: Stage) -> None:
    """For five minutes each: a wrong token, a missing token, a missing key, a text that is no key."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.put_token("EAA-expired")
        await stage.at(25 * MINUTE)
        stage.put_token(stage.api.token().text)
        await stage.at(40 * MINUTE)
        stage.secrets.remove(TOKEN_SECRET)
        await stage.at(45 * MINUTE)
        stage.put_token(stage.api.token().text)
        await stage.at(60 * MINUTE)
        stage.secrets.remove(KEY_SECRET)
        await stage.at(65 * MINUTE)
        stage.secrets.put_key(OURS)
        await stage.at(80 * MINUTE)
        stage.secrets.put(KEY_SECRET, public_pem="no key")
        await stage.at(85 * MINUTE)
        stage.secrets.put_key(OURS)
        await stage.at(2 * HOUR)


@scene()
async def deleted(stage: Stage) -> None:
    """An object whose token has expired, and that is deleted before anybody had to be told."""
    ref = stage.create()
    stage.put_token("EAA-expired")
    async with stage.leader():
        await stage.at(8 * MINUTE)
        stage.objects.delete(ref)
        await stage.at(60 * MINUTE)


@scene()
async def checked_every_six_hours(stage: Stage) -> None:
    """An object whose owner wants it so."""
    stage.create(intervalSeconds=21600)
    async with stage.leader():
        await stage.at(14 * HOUR)


# Alerts about objects.


@scene(BekSignatureBroken=31, BekStalled=31)
async def never_valid_again(stage: Stage) -> None:
    """A number takes the key and is never VALID again."""
    stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.numbers[4].re_register()
        stage.numbers[4].reads_until_valid = None
        await stage.at(2 * HOUR)


@scene(BekContended=26.5, BekSignatureBroken=31.5)
async def contended(stage: Stage) -> None:
    """A second writer replaces every key of a number that worked."""
    stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.numbers[4].overwrite(OTHER.public)
        stage.numbers[4].rival = OTHER.public
        await stage.at(2 * HOUR)


@scene(BekSignatureLostRepeatedly=670)
async def overwritten_every_three_hours(stage: Stage) -> None:
    """A script that publishes an old key every three hours."""
    stage.create()
    async with stage.leader():
        for hour in range(1, 24, 3):
            await stage.at(hour * HOUR)
            stage.numbers[4].overwrite(OTHER.public)
        await stage.at(24 * HOUR)


@scene(BekCredentialsRefused=20.5)
async def expired_token(stage: Stage) -> None:
    """The token expires, and the numbers find out one after the other."""
    stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.put_token("EAA-expired")
        await stage.at(60 * MINUTE)


@scene(BekCredentialsRefused=10.5)
async def missing_token(stage: Stage) -> None:
    """The Secret of the token does not exist."""
    stage.create()
    stage.secrets.remove(TOKEN_SECRET)
    async with stage.leader():
        await stage.at(60 * MINUTE)


@scene(BekApiUnreachable=33.5)
async def outage_of_the_api(stage: Stage) -> None:
    """The Cloud API can't be reached for two hours."""
    stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.line.cut = True
        await stage.at(130 * MINUTE)
        stage.line.cut = False
        await stage.at(3 * HOUR)


@scene(BekRateLimitExhausted=95.5, BekCheckOverdue=110)
async def rate_limited(stage: Stage) -> None:
    """Another program uses the rate limit up, for hours."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.api.fail("any", graph_error(80007), times=None)
        await stage.at(4 * HOUR)


@scene(BekRolloutStuck=25.5)
async def rejected_key(stage: Stage) -> None:
    """The first number does not accept the new key."""
    stage.create()
    stage.hold(OURS)
    async with stage.leader():
        await stage.until_all_ready()
        await stage.at(10 * MINUTE)
        stage.numbers[0].fail("publish", graph_error(100), times=None)
        stage.secrets.put_key(NEW)
        await stage.at(60 * MINUTE)


@scene(BekStalled=20.5)
async def invalid_key(stage: Stage) -> None:
    """The Secret is given a text that is no key."""
    stage.create()
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.secrets.put(KEY_SECRET, public_pem="no key")
        await stage.at(60 * MINUTE)


@scene(BekStalled=10.5)
async def only_reported(stage: Stage) -> None:
    """An object that never publishes finds numbers without a key."""
    stage.create(publishPolicy="Never")
    async with stage.leader():
        await stage.at(60 * MINUTE)


@scene(BekNotReady=30.5)
async def missing_secret(stage: Stage) -> None:
    """The Secret of the key does not exist."""
    stage.create()
    stage.secrets.remove(KEY_SECRET)
    async with stage.leader():
        await stage.at(60 * MINUTE)


@scene(BekCheckOverdue=100.5)
async def too_many_numbers(stage: Stage) -> None:
    """A thousand numbers behind a rate limit of two hundred calls an hour."""
    stage.create(1000)
    stage.hold(OURS)
    async with stage.leader():
        await stage.until_all_ready()
        stage.api.limit(200)
        await stage.at(5 * HOUR)


# Alerts about the operator.


@scene(BekOperatorAbsent=30.5)
async def gone(stage: Stage) -> None:
    """The Deployment is scaled to 0."""
    stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
    await stage.at(60 * MINUTE)


@scene(BekNoLeader=25.5)
async def no_leader(stage: Stage) -> None:
    """The leader loses its Lease and ends, and nobody takes over."""
    stage.create()
    async with stage.replica("bek-operator-2"):
        async with stage.leader():
            await stage.at(20 * MINUTE)
        async with stage.replica():
            await stage.at(60 * MINUTE)


@scene(BekNoLeader=25.5)
async def no_leader_of_a_shard(stage: Stage) -> None:
    """Another shard has one."""
    stage.create()
    async with stage.leader(), stage.replica("bek-operator-shard1-1", "bek-operator-shard1") as shard:
        shard.holds_lease = True
        await stage.at(20 * MINUTE)
        shard.holds_lease = False
        await stage.at(60 * MINUTE)


@scene()
async def shard_that_is_gone(stage: Stage) -> None:
    """One of three Deployments is scaled to 0; only the rules that know of the shards can tell."""
    stage.create()
    async with stage.leader(), stage.replica("bek-operator-shard2-1", "bek-operator-shard2") as shard2:
        async with stage.replica("bek-operator-shard1-1", "bek-operator-shard1") as shard1:
            shard1.holds_lease = shard2.holds_lease = True
            await stage.at(20 * MINUTE)
        await stage.at(60 * MINUTE)


@scene(BekOperatorRestarting=30.5)
async def restarts(stage: Stage) -> None:
    """The container is killed every five minutes."""
    stage.create()
    for start in range(12):
        async with stage.leader():
            await stage.at((15 + 5 * start) * MINUTE)
        await asyncio.sleep(20)
    async with stage.leader():
        await stage.at(2 * HOUR)


@scene(BekReconcileErrors=45.5)
async def refused_writes(stage: Stage) -> None:
    """Somebody takes the permission to write the status away."""
    ref = stage.create()
    async with stage.leader():
        await stage.at(20 * MINUTE)
        stage.objects.refusal = Forbidden("not for us")
        stage.objects.edit(ref, intervalSeconds=700)
        await stage.at(2 * HOUR)
