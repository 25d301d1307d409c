"""Each state that a GitOps tool can find an object in, as the operator makes it, and what the tool must make of it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import yaml

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, on_premises, spec_body
from support.fakes import number, numbers
from support.virtual_time import VirtualLoop, until
from support.world import World

REQUEST: Final = "2026-11-22T10:00:00Z"
"""A value of the annotation that requests a check."""

Body = dict[str, Any]
Scene = Callable[[World], Awaitable[Body]]


def failure(reason: Reason, message: str, retry: Retry = Retry.TRANSIENT) -> Failure:
    """Return a failed call."""
    return Failure(reason=reason, message=message, pace=Pace.NORMAL, retry=retry)


EXPIRED: Final = failure(Reason.TOKEN_EXPIRED, "the access token has expired", Retry.TERMINAL)
REJECTED: Final = failure(Reason.KEY_REJECTED, "the API rejects the key", Retry.TERMINAL)


async def settled(world: World, reason: str, count: int = 2, **wanted: Any) -> Body:
    """Return an object of which Ready has this reason."""
    ref = world.objects.create(wanted=spec_body(numbers(count), **wanted))
    async with world.operator():
        await until(lambda: world.objects.ready(ref)[1] == reason, seconds=1000)
    return world.objects.body(ref)


async def signed(world: World) -> Body:
    """Every number is signed."""
    return await settled(world, "Succeeded")


async def unseen(world: World) -> Body:
    """The operator has not seen the object."""
    return world.objects.body(world.objects.create(wanted=spec_body(numbers(2))))


async def edited(world: World) -> Body:
    """The operator has not seen the last edit."""
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
    world.objects.edit(ref, phoneNumbers=[{"phoneNumber": one} for one in numbers(3)])
    return world.objects.body(ref)


async def check_requested(world: World) -> Body:
    """The operator has not seen that a check was requested."""
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
    world.objects.request_check(ref, REQUEST)
    return world.objects.body(ref)


async def check_done(world: World) -> Body:
    """The requested check is done."""
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    world.objects.request_check(ref, REQUEST)
    async with world.operator():
        await world.until_ready(ref)
    return world.objects.body(ref)


async def long_request_done(world: World) -> Body:
    """The requested check is done; its value was too long to be repeated."""
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    world.objects.request_check(ref, "because " * 10)
    async with world.operator():
        await world.until_ready(ref)
    return world.objects.body(ref)


async def secret_not_found(world: World) -> Body:
    """The Secret with the key does not exist."""
    world.secrets.remove(KEY_SECRET)
    return await settled(world, "SecretNotFound")


async def credentials_not_found(world: World) -> Body:
    """The Secret with the login does not exist."""
    world.secrets.remove(LOGIN_SECRET)
    return await settled(world, "CredentialsNotFound")


async def invalid_key(world: World) -> Body:
    """The Secret holds no key that can be used."""
    world.secrets.put(KEY_SECRET, public_pem="no key")
    return await settled(world, "InvalidKey")


async def unreachable(world: World) -> Body:
    """One number does not answer."""
    world.phones[number(2)].failure = failure(Reason.UNREACHABLE, "no answer within 30 s")
    return await settled(world, "Unreachable")


async def rate_limited(world: World) -> Body:
    """The API asks for fewer calls."""
    for one in numbers(2):
        world.phones[one].failure = failure(Reason.RATE_LIMITED, "rate limited; retrying with back-off")
    return await settled(world, "RateLimited")


async def waiting_for_rollout(world: World) -> Body:
    """The first number has the new key, the others wait."""
    ref = world.objects.create(
        wanted=spec_body(numbers(2), rollout={"type": "FirstNumber", "firstNumber": {"pauseSeconds": 600}})
    )
    async with world.operator():
        await world.until_ready(ref, seconds=2000)
        world.secrets.put_key(keys.rsa("other"))
        await until(lambda: world.objects.ready(ref)[1] == "WaitingForRollout", seconds=100)
    return world.objects.body(ref)


async def token_expired(world: World) -> Body:
    """No number accepts the token."""
    for one in numbers(2):
        world.phones[one].failure = EXPIRED
    return await settled(world, "TokenExpired")


async def one_token_expired(world: World) -> Body:
    """One number is signed, the other does not accept the token."""
    world.phones[number(2)].failure = EXPIRED
    return await settled(world, "TokenExpired")


async def key_rejected(world: World) -> Body:
    """The API rejects the key."""
    for one in numbers(2):
        world.phones[one].refusal = REJECTED
    return await settled(world, "KeyRejected")


async def host_not_allowed(world: World) -> Body:
    """The administrator has not allowed the host."""
    return await settled(world, "HostNotAllowed", apis=[on_premises(url="https://elsewhere.example")], count=1)


async def duplicate_number(world: World) -> Body:
    """Another object has the numbers already."""
    world.objects.create("first", wanted=spec_body(numbers(2)))
    ref = world.objects.create("second", wanted=spec_body(numbers(2)), created=1)
    async with world.operator():
        await until(lambda: world.objects.ready(ref)[1] == "DuplicateNumber", seconds=100)
    return world.objects.body(ref)


async def never_publishes(world: World) -> Body:
    """The object only reports, and the numbers lack the key."""
    return await settled(world, "NotPublished", publishPolicy="Never")


async def suspended(world: World) -> Body:
    """Every number was signed before the object was suspended."""
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.edit(ref, suspend=True)
        await world.until_ready(ref)
    return world.objects.body(ref)


async def suspended_from_the_start(world: World) -> Body:
    """The object was created suspended."""
    return await settled(world, "Suspended", suspend=True)


class Outcome(NamedTuple):
    """Argo CD's health, the kstatus, and what Flux makes of the object by the example's expressions."""

    argocd: str
    kstatus: str
    flux: str


SCENES: Final[Mapping[Scene, Outcome]] = {
    signed: Outcome("Healthy", "Current", "Current"),
    check_done: Outcome("Healthy", "Current", "Current"),
    long_request_done: Outcome("Healthy", "Current", "Current"),
    unseen: Outcome("Progressing", "InProgress", "InProgress"),
    edited: Outcome("Progressing", "InProgress", "InProgress"),
    check_requested: Outcome("Progressing", "Current", "InProgress"),
    secret_not_found: Outcome("Progressing", "InProgress", "InProgress"),
    credentials_not_found: Outcome("Progressing", "InProgress", "InProgress"),
    unreachable: Outcome("Progressing", "InProgress", "InProgress"),
    rate_limited: Outcome("Progressing", "InProgress", "InProgress"),
    waiting_for_rollout: Outcome("Progressing", "InProgress", "InProgress"),
    token_expired: Outcome("Degraded", "Failed", "Failed"),
    one_token_expired: Outcome("Degraded", "Failed", "Failed"),
    key_rejected: Outcome("Degraded", "Failed", "Failed"),
    invalid_key: Outcome("Degraded", "Failed", "Failed"),
    host_not_allowed: Outcome("Degraded", "Failed", "Failed"),
    duplicate_number: Outcome("Degraded", "Failed", "Failed"),
    never_publishes: Outcome("Degraded", "Failed", "Failed"),
    suspended: Outcome("Suspended", "Current", "Current"),
    suspended_from_the_start: Outcome("Suspended", "InProgress", "Current"),
}
"""Each state, and what GitOps tools must make of it."""


def text(value: Any) -> str:
    """Return a value as YAML."""
    return yaml.safe_dump(value, sort_keys=False, width=1000)


@cache
def play(scene: Scene) -> Body:
    """Return the object that a scene ends with; whichever keys were made for this run, it shows the same ones."""

    async def run() -> Body:
        return await scene(World())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        written = text(runner.run(run()))
    for index, pair in enumerate((keys.rsa(), keys.rsa("other")), start=1):
        digits = pair.fingerprint.removeprefix("sha256:")
        shown = hashlib.sha256(bytes([index])).hexdigest()
        written = written.replace(digits, shown).replace(digits[:12], shown[:12])
    body: Body = yaml.safe_load(written)
    return body
