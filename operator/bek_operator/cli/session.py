"""The user's cluster and namespace, from the flags that every command takes and the kubeconfig."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bek_operator.cluster.client import Client, namespace_of_user
from bek_operator.cluster.errors import ClusterError
from bek_operator.cluster.lease import LeaseRecord, leases_named
from bek_operator.cluster.user_objects import Found, UserObjects
from bek_operator.cluster.user_secrets import UserSecrets

LEASE_NAME = "bek-operator"
"""The default of `--lease-name`."""

_PREFIXES = (
    "bek/",
    "businessencryptionkey/",
    "businessencryptionkeys/",
    "businessencryptionkey.bek.dev/",
    "businessencryptionkeys.bek.dev/",
)
"""As kubectl takes them; `kubectl get bek -o name` prints the last but one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a command works.

    Attributes:
        kubeconfig: Path of a kubeconfig; empty for the usual ones.
        context: A context of it; `None` for the current one.
        namespace: `None` for that of the context.
    """

    kubeconfig: str = ""
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False


class Session:
    """An open connection to the user's cluster."""

    def __init__(self, client: Client, namespace: str | None) -> None:
        self.client = client
        self.namespace = namespace
        self.objects = UserObjects(client, namespace)

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator["Session"]:
        """Connect.

        Raises:
            ClusterError: there are no usable credentials.
        """
        namespace = None
        if not target.all_namespaces:
            namespace = target.namespace or namespace_of_user(target.kubeconfig, target.context)
        async with await Client.of_user(target.kubeconfig, target.context) as client:
            yield cls(client, namespace)

    async def secret(self, name: str) -> Mapping[str, bytes]:
        """Return the decoded data of a Secret of the namespace.

        Raises:
            ClusterError: the request failed; `NotFound` when it does not exist.
        """
        return (await UserSecrets(self.client, self.namespace or "").read(name)).data

    async def leases(self) -> Mapping[str, LeaseRecord]:
        """Return what the operators' Leases say, by namespace; none for who is not allowed to list them."""
        try:
            return await leases_named(self.client, LEASE_NAME)
        except ClusterError:
            return {}

    async def find(self, names: Sequence[str]) -> Sequence[Found]:
        """Return the named objects, or all without names.

        Raises:
            ClusterError: a request failed.
        """
        if not names:
            return await self.objects.list()
        return [await self.objects.read(bare(name)) for name in names]


def bare(name: str) -> str:
    """Return an object's name as it is written alone: `flows` for `bek/flows`."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
