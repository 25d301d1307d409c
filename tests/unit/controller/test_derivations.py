"""Costly derivations: in a process of their own, one at a time, by namespace in turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bek_operator.controller.derivations import DerivationReconciler, derive_in_child
from bek_operator.controller.result import Enqueue
from bek_operator.controller.state import DerivationKey
from bek_operator.controller.workqueue import WorkQueue
from bek_operator.crd.types import ObjectKey
from bek_operator.keys import derive
from bek_operator.keys.derivation import Derivation
from bek_operator.keys.public_key import PublicKey
from support import keys
from support.builders import KEY_SECRET, spec_body
from support.fakes import now, number, numbers
from support.key_samples import PASSPHRASE, encrypted_with, plain
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.keys.cache import Derived


def derivation(scheme: str, *costs: int, size: int = 32) -> Derivation:
    """Return a derivation."""
    return Derivation(scheme=scheme, costs=costs, size=size, salt=b"salt", passphrase=PASSPHRASE.encode())


@pytest.mark.parametrize(
    "one",
    [
        derivation("sha256", 20_001),
        derivation("sha1", 1, size=24),
        derivation(derive.PKCS12, 1),
        derivation(derive.MD5, 1, size=16),
        derivation(derive.SCRYPT, 2**10, 255, 2),
    ],
    ids=str,
)
async def test_a_child_process_derives_the_same_key(one: Derivation) -> None:
    """Of each scheme, up to the memory that is accepted."""
    assert await derive_in_child(one) == one.run()


@pytest.mark.parametrize(
    "one", [derivation("sha512", 2**31 - 1), derivation(derive.SCRYPT, 2**15, 8, 1)], ids=["time", "memory"]
)
async def test_a_child_process_that_needs_too_much_is_given_up(one: Derivation) -> None:
    """It ends by the limits that the system holds it to."""
    assert await derive_in_child(one, cpu_seconds=1) is None


async def test_a_child_process_ends_with_whoever_waits_for_it() -> None:
    """As when this process stops being the leader."""
    task = asyncio.create_task(derive_in_child(derivation("sha512", 2**31 - 1), cpu_seconds=60))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.2)


class Deriver:
    """Derives keys in virtual time.

    Attributes:
        seconds: What a derivation takes.
        failures: What the next ones end in; `None` for exceeding the limits.
        begun: How many were begun.
        most: How many ran at once.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.failures: list[OSError | None] = []
        self.begun = self.most = self._running = 0

    async def __call__(self, one: Derivation) -> Derived:
        """Derive a key."""
        self.begun += 1
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(self.seconds)
        self._running -= 1
        if self.failures:
            failure = self.failures.pop()
            if failure is None:
                return None
            raise failure
        return one.run()


def encrypted(around: str = "") -> dict[str, str]:
    """Return the entries of a Secret with a key that takes a process; another text around it, another content."""
    return {"private_pem": f"{around}\n{encrypted_with('-iter', '30000')}", "passphrase": PASSPHRASE}


def encrypted_spec(secret: str = KEY_SECRET) -> dict[str, object]:
    """Return the spec of an object with such a key."""
    return spec_body(numbers(1), keySecretRef={"name": secret, "passphraseKey": "passphrase"})


@virtual_time
async def test_an_encrypted_key_is_published_after_its_derivation() -> None:
    """Until then nothing is shown of the object; one derivation is enough for all objects with the same Secret."""
    world = World()
    world.derive = deriver = Deriver(seconds=5.0)
    world.secrets.put(KEY_SECRET, **encrypted())
    refs = [world.objects.create(f"flows-{index}", encrypted_spec()) for index in range(3)]
    async with world.operator():
        await until(lambda: deriver.begun == 1)
        await asyncio.sleep(4)
        assert not any(world.objects.status(ref).get("conditions") for ref in refs)
        await until(lambda: world.phones[number(1)].holds(plain()))
        await world.until_ready(refs[0])
        await until(lambda: all(world.objects.status(ref).get("publicKeyFingerprint") for ref in refs))
        assert deriver.begun == 1


@virtual_time
async def test_derivations_hold_up_nothing_else() -> None:
    """However many there are, and however long they take: another key is published at once, and one runs at a time."""
    world = World()
    world.derive = deriver = Deriver(seconds=3600.0)
    for index in range(100):
        world.secrets.put(f"key-{index}", **encrypted(str(index)))
        world.objects.create(f"flows-{index}", encrypted_spec(f"key-{index}"))
    async with world.operator():
        await until(lambda: deriver.begun == 1)
        ref = world.objects.create("other", spec_body([number(2)]))
        await world.until_ready(ref, 10)
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"), 10)
        assert (deriver.begun, deriver.most) == (1, 1)


@virtual_time
async def test_a_rotation_to_an_encrypted_key_keeps_the_old_one_until_then() -> None:
    """A change of the spec that comes with it is shown when the key is known, and not before."""
    world = World()
    world.derive = Deriver(seconds=30.0)
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.put("new", **encrypted())
        world.objects.edit(ref, keySecretRef={"name": "new", "passphraseKey": "passphrase"})
        await asyncio.sleep(20)
        assert not world.objects.is_current(ref)
        assert world.phones[number(1)].holds(keys.rsa())
        await world.until_signed_with(ref, plain())
        assert world.objects.is_current(ref)


@virtual_time
async def test_a_derivation_that_exceeds_the_limits_is_refused_with_its_reason() -> None:
    """It is tried again when the Secret is read again."""
    world = World()
    world.derive = deriver = Deriver()
    deriver.failures = [None]
    world.secrets.put(KEY_SECRET, **encrypted())
    ref = world.objects.create(wanted=encrypted_spec())
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "InvalidKey"))
        message = world.objects.status(ref)["conditions"][0]["message"]
        assert "private.pem takes too much time or memory to decrypt" in message
        await world.until_ready(ref, 1300)


@virtual_time
async def test_a_process_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """With back-off; the log says so."""
    world = World()
    world.derive = deriver = Deriver()
    deriver.failures = [OSError("no process"), OSError("no process")]
    world.secrets.put(KEY_SECRET, **encrypted())
    ref = world.objects.create(wanted=encrypted_spec())
    async with world.operator():
        await world.until_ready(ref)
    assert deriver.begun == 3
    assert caplog.text.count("retrying with back-off") == 2
    caplog.clear()


@virtual_time
async def test_an_object_that_is_deleted_needs_no_key() -> None:
    """What is under way ends without effect."""
    world = World()
    world.derive = deriver = Deriver(seconds=5.0)
    world.secrets.put(KEY_SECRET, **encrypted())
    ref = world.objects.create(wanted=encrypted_spec())
    async with world.operator():
        await until(lambda: deriver.begun == 1)
        world.objects.delete(ref)
        await asyncio.sleep(60)
    assert world.phones.count("publish") == 0


async def test_each_namespace_has_its_turn_and_one_runs_at_a_time() -> None:
    """However many keys one namespace waits for, another one waits for one of them."""
    deriver = Deriver()
    reconciler = DerivationReconciler(derive=deriver, clock=now)
    queue: WorkQueue[DerivationKey] = WorkQueue(1, object_of=lambda key: key.object)
    names = [*(ObjectKey("many", f"flows-{index}") for index in range(50)), ObjectKey("one", "flows")]
    for index, ref in enumerate(names):
        data = {name.replace("_", "."): text.encode() for name, text in encrypted(str(index)).items()}
        found = await reconciler.parse(ref, data, None, "passphrase")
        assert isinstance(found, Enqueue)
        assert isinstance(found.key, DerivationKey)
        queue.add(found.key, found.due)
    # The second one begins while the first is slow.
    picked = [one for one in (queue.pick(now() + 1), queue.pick(now() + 2)) if one]
    assert [one.object.namespace for one in picked] == ["many", "one"]
    await asyncio.gather(*(reconciler.reconcile(one) for one in picked))
    assert (deriver.begun, deriver.most) == (2, 1)


@virtual_time
async def test_a_key_that_is_asked_for_again_is_derived_once() -> None:
    """An object may be reconciled again while its key is derived, because of an event."""
    deriver = Deriver(seconds=5.0)
    reconciler, ref = DerivationReconciler(derive=deriver, clock=now), ObjectKey("many", "flows")
    data = {name.replace("_", "."): text.encode() for name, text in encrypted().items()}
    await reconciler.parse(ref, data, None, "passphrase")
    deriving = asyncio.create_task(reconciler.reconcile(DerivationKey(ref)))
    await until(lambda: deriver.begun == 1)
    found = await reconciler.parse(ref, data, None, "passphrase")
    assert isinstance(found, Enqueue)
    assert found.key == DerivationKey(ref)
    await deriving
    await reconciler.reconcile(DerivationKey(ref))
    assert deriver.begun == 1
    key = await reconciler.parse(ref, data, None, "passphrase")
    assert isinstance(key, PublicKey)
    assert key.pem == plain().public
