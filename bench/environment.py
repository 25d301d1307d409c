"""The environment of every scenario: an API server, simulated numbers, keys, and operators to start."""

import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.cluster import Cluster
from bench.operators import Operators
from bench.phones import Phones
from support import keys
from support.cluster.apiserver import ApiServer
from support.keys import KeyPair

DEPLOY = Path(__file__).parents[1] / "deploy"
_KEYS = 8


@dataclass(slots=True, kw_only=True)
class Environment:
    """What a scenario works with; with `quick` only as much as shows that everything works."""

    api_server: ApiServer
    cluster: Cluster
    phones: Phones
    operators: Operators
    quick: bool
    begun: float = field(default_factory=time.monotonic)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def repeats(self) -> int:
        """How often each thing is measured."""
        return 1 if self.quick else 3

    def fewer(self, numbers: int) -> int:
        """Return the number of numbers for this run."""
        return max(numbers // 20, 10) if self.quick else numbers

    def next_key(self) -> KeyPair:
        """Return another key than the last few times."""
        return self.phones.keys[next(self._turn) % _KEYS]

    @property
    def elapsed(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self.begun

    def say(self, text: str) -> None:
        """Report progress, in one line."""
        sys.stdout.write(f"[{self.elapsed:5.0f} s] {text}\n")
        sys.stdout.flush()


@asynccontextmanager
async def environment(*, quick: bool) -> AsyncIterator[Environment]:
    """Set everything up, and remove it in the end."""
    begun = time.monotonic()
    with ApiServer() as api_server:
        api_server.kubectl("apply", "--kustomize", str(DEPLOY / "default"))
        api_server.wait_until_established("businessencryptionkeys.bek.dev")
        pairs = [keys.rsa(f"bench-{place}") for place in range(_KEYS)]
        phones = Phones(api_server.keeper, pairs)
        async with Cluster(api_server) as cluster:
            yield Environment(
                api_server=api_server,
                cluster=cluster,
                phones=phones,
                operators=Operators(api_server, phones),
                quick=quick,
                begun=begun,
            )
