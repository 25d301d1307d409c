"""Two tenants of one operator: one that attacks, and one whose key rotations must be on its numbers all the same."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING, Self

from support import keys
from support.cluster.kubelet import Kubelet
from support.cluster.operator_process import NAMESPACE
from support.cluster.scene import UserNamespace
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from types import TracebackType

    from support.cluster.apiserver import ApiServer


class Tenant(UserNamespace):
    """A namespace with an object for a few numbers, which all hold its key."""

    def begin(self) -> None:
        """Have the object Ready with a first key."""
        self._pairs = cycle([keys.rsa(name) for name in ("first", "second", "third")])
        self.put_access()
        self.put_key(next(self._pairs))
        self.apply(self.manifest())
        self.wait_ready()

    def rotate(self, seconds: float) -> None:
        """Put a new key into the Secret; return when it is VALID on every number."""
        pair = next(self._pairs)
        self.put_key(pair)
        self.wait_for(lambda: self.simulator.all_hold(pair.public), "another tenant's key is on its numbers", seconds)


class Tenants:
    """An operator as it is deployed, watched as the kubelet would, and its tenants; a context manager.

    Attributes:
        attacker: A namespace in which a test puts what may harm others.
        other: Another tenant.
        kubelet: Runs and watches the operator.
    """

    def __init__(self, server: ApiServer, namespace: str, simulator: OnPremises) -> None:
        self.attacker = UserNamespace(server, namespace, simulator)
        deployment = server.read(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/bek-operator")
        self.kubelet = Kubelet(server, deployment, namespace)
        self._server = server

    def __enter__(self) -> Self:
        """Have the other tenant's numbers hold its key."""
        namespace = f"other-tenant-{secrets.token_hex(4)}"
        self._server.kubectl("create", "namespace", namespace)
        self._free_lease()
        with ExitStack() as stack:
            stack.callback(
                self._server.kubectl, "delete", "bek,secrets", "--all", "--wait=false", f"--namespace={namespace}"
            )
            self.other = Tenant(self._server, namespace, stack.enter_context(OnPremises(numbers(3))))
            stack.enter_context(self.kubelet)
            self.other.begin()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the operator, and empty the other tenant's namespace."""
        self._stack.close()

    def restart(self) -> None:
        """Kill the operator, and start it again as its own successor."""
        self.kubelet.restart()
        self._free_lease()

    def _free_lease(self) -> None:
        self._server.kubectl("delete", "lease", "bek-operator", f"--namespace={NAMESPACE}", "--ignore-not-found")

    def assert_unharmed(self, rotations: int = 1) -> None:
        """Assert that another tenant's new keys are on its numbers, and that the kubelet would have done nothing.

        Each rotation has the time in which a kubelet kills a process that hangs, so that waiting for a restart fails.
        """
        for _ in range(rotations):
            self.other.rotate(self.kubelet.liveness.patience)
        assert self.kubelet.verdict == [], self.kubelet.operator.log
