"""BusinessEncryptionKeys: list, read, and write their status."""

from collections.abc import AsyncIterator, Sequence

from bek_operator.cluster.client import Client, name_in_path, understood
from bek_operator.cluster.errors import NotFound
from bek_operator.crd.parse import BusinessEncryptionKey, parse_object
from bek_operator.crd.status import Status, render_status

GROUP, VERSION, PLURAL, KIND = "bek.dev", "v1alpha1", "businessencryptionkeys", "BusinessEncryptionKey"
NOT_INSTALLED = f"the CRD {PLURAL}.{GROUP} is not installed; apply crds/ and wait"
_PAGE = 200
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Objects:
    """The BusinessEncryptionKeys of the served namespaces; all of them when none is named."""

    def __init__(self, client: Client, namespaces: Sequence[str]) -> None:
        self._client = client
        self._namespaces = namespaces

    @property
    def paths(self) -> Sequence[str]:
        """Where the objects are listed and watched."""
        return [_path(namespace) for namespace in self._namespaces] or [_path(None)]

    async def are_served(self) -> bool:
        """Return whether the API server's discovery names them, so that others find them, too.

        It is a moment later than they can be listed.

        Raises:
            ClusterError: the API server did not answer.
        """
        answer = await self._client.request("GET", "/apis")
        with understood("a list of API groups"):
            if not any(group["name"] == GROUP for group in answer["groups"]):
                return False
        try:
            answer = await self._client.request("GET", f"/apis/{GROUP}/{VERSION}")
        except NotFound:
            return False
        with understood("a list of resources"):
            return any(resource["name"] == PLURAL for resource in answer["resources"])

    async def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object.

        Raises:
            ClusterError: `NotFound` when the CRD is not installed.
        """
        for path in self.paths:
            query = {"limit": str(_PAGE)}
            while True:
                page = await self._client.request("GET", path, query=query)
                with understood(f"a list of {PLURAL}"):
                    resources = [parse_object(item) for item in page["items"] or ()]
                    token = page["metadata"].get("continue")
                for resource in resources:
                    yield resource
                if not token:
                    break
                query["continue"] = token

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return the object, `None` when there is none.

        Raises:
            ClusterError: the API server did not answer.
        """
        try:
            body = await self._client.request("GET", _path(namespace, name))
        except NotFound:
            return None
        with understood(f"a {KIND}"):
            return parse_object(body)

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace the status of this very object at this very version; return its new resourceVersion.

        A PUT with uid and resourceVersion is the only write that the server refuses for an object that was
        deleted and re-created meanwhile.

        Raises:
            ClusterError: `Conflict` or `NotFound` when the object is another one by now.
        """
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {
                "namespace": resource.ref.namespace,
                "name": resource.ref.name,
                "uid": resource.uid,
                "resourceVersion": resource.version,
            },
            "status": render_status(status),
        }
        path = _path(resource.ref.namespace, resource.ref.name) + "/status"
        # What was written need not come back whole.
        answer = await self._client.request("PUT", path, body=body, headers={"Accept": _METADATA_ONLY})
        with understood(f"a {KIND}"):
            written: str = answer["metadata"]["resourceVersion"]
        return written


def _path(namespace: str | None, name: str | None = None) -> str:
    base = f"/apis/{GROUP}/{VERSION}"
    within = f"/namespaces/{name_in_path(namespace)}" if namespace else ""
    return f"{base}{within}/{PLURAL}" + (f"/{name_in_path(name)}" if name else "")
