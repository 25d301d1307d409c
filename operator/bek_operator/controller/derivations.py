"""Derives the keys of encrypted private keys: in a child process, one at a time, by namespace in turn.

A derivation takes up to a second of CPU and 32 MiB, by what is written in a Secret. So the event loop is not concerned
with it, and however many of them one namespace asks for, the key of another one waits for a single one of these.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import Final

from bek_operator.controller.result import Enqueue, Result
from bek_operator.controller.state import DerivationKey
from bek_operator.controller.workqueue import Due, Priority
from bek_operator.crd.types import ObjectKey
from bek_operator.keys import derive
from bek_operator.keys.cache import Derived, KeyCache, Needed
from bek_operator.keys.derivation import Derivation
from bek_operator.keys.public_key import PublicKey
from bek_operator.times import Clock

log = logging.getLogger(__name__)

_CPU_SECONDS: Final = 10
"""The most costly derivation that is accepted takes three quarters of a second on a machine of 2024."""

# Isolated from the environment, and without what is installed: the program needs the standard library alone.
_COMMAND: Final = (sys.executable, "-I", "-S", "-B", derive.__file__)

Deriver = Callable[[Derivation], Awaitable[Derived]]
"""Derives a key at a bounded cost."""


async def derive_in_child(derivation: Derivation, cpu_seconds: int = _CPU_SECONDS) -> Derived:
    """Derive a key in a process with limits of CPU time and memory; `None` if it exceeded these.

    Passphrase and key go through pipes. It has the lowest priority, so it may wait for a CPU.

    Raises:
        OSError: no process can be started.
    """
    child = await asyncio.create_subprocess_exec(
        *(*_COMMAND, str(cpu_seconds)), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/"
    )
    try:
        key, _ = await child.communicate(derivation.request)
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    return key if child.returncode == 0 and len(key) == derivation.size else None


class DerivationReconciler:
    """Parses the keys of objects, and derives what that needs; then the object is reconciled again."""

    def __init__(self, *, derive: Deriver, clock: Clock) -> None:
        self._keys = KeyCache()
        self._derive = derive
        self._clock = clock
        self._needed: dict[DerivationKey, Needed] = {}
        # The work queue lets another tenant's begin while one is slow; there is not the memory for two.
        self._one_at_a_time = asyncio.Lock()

    async def parse(
        self, ref: ObjectKey, data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None
    ) -> PublicKey | Enqueue:
        """Return the key of an object, by the data of its Secret, or what to enqueue to find it out.

        Raises:
            InvalidKey: the Secret holds no usable key.
        """
        found = await self._keys.parse(data, entry, passphrase_entry)
        if not isinstance(found, Needed):
            return found
        key = DerivationKey(ref)
        self._needed[key] = found
        return Enqueue(key, Due(at=self._clock(), priority=Priority.KEY))

    async def reconcile(self, key: DerivationKey) -> Result:
        """Derive what an object needs, unless another one with the same Secret has needed it before."""
        needed = self._needed[key]
        async with self._one_at_a_time:
            if self._keys.lacks(needed):
                derived = await self._derive(needed.derivation)
                if derived is None:
                    log.warning("decrypting a private key took too much time or memory, and was given up")
                self._keys.derived(needed, derived)
        if self._needed[key] is needed:
            del self._needed[key]
        return Result(enqueue=(Enqueue(key.object, Due(at=self._clock(), priority=Priority.KEY)),))
