"""Lists and reads BusinessEncryptionKeys, and writes their status."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bek_operator.cluster.client import name_in_path, validating
from bek_operator.cluster.errors import BadRequest, ClusterError, Conflict, InvalidSelector, NotFound, NotServed
from bek_operator.cluster.leader_client import Requests
from bek_operator.cluster.pages import pages
from bek_operator.cluster.response import MOST_BYTES
from bek_operator.crd.parse import BusinessEncryptionKey, parse_object
from bek_operator.crd.status import Status, render_status

log = logging.getLogger(__name__)

GROUP, VERSION, PLURAL, KIND = "bek.dev", "v1alpha1", "businessencryptionkeys", "BusinessEncryptionKey"
NOT_INSTALLED = f"the CRD {PLURAL}.{GROUP} is not installed; apply crds/ (the operator waits for it)"
_PAGE = 200
_LONGEST_NAME = 253
_WRITE_ATTEMPTS: Final = 5
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Objects:
    """The BusinessEncryptionKeys of the given namespaces; of all namespaces when there are none.

    With a label selector only those that match it: the others do not exist here. The API server judges which do.
    """

    def __init__(self, client: Requests, namespaces: Sequence[str], selector: str = "") -> None:
        self._client = client
        self._namespaces = namespaces
        self._selector = selector

    @property
    def paths(self) -> Sequence[str]:
        """Return the paths for LIST and WATCH."""
        return [path_of(namespace) for namespace in self._namespaces] or [path_of(None)]

    async def are_served(self) -> bool:
        """Return whether the API server's discovery has the resource, which kopf needs.

        Discovery follows a moment after the resource can be listed.

        Raises:
            ClusterError: the request failed.
        """
        found = await self._client.request("GET", "/apis")
        with validating("a list of API groups"):
            groups = {group["name"]: [one["version"] for one in group["versions"]] for group in found["groups"]}
        if VERSION not in groups.get(GROUP, ()):
            return False
        found = await self._client.request("GET", f"/apis/{GROUP}/{VERSION}")
        with validating("a list of resources"):
            return any(resource["name"] == PLURAL for resource in found["resources"])

    async def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object; one that is malformed is left out, and logged.

        Raises:
            ClusterError: `NotFound` when the CRD is not installed, `InvalidSelector` when the API server rejects it.
        """
        for path in self.paths:
            async for items, _ in pages(partial(self._page, path), _PAGE):
                for resource in _well_formed(items):
                    yield resource

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return the object; `None` when it does not exist, or the CRD is not installed.

        It is a LIST, because a GET knows no selector. Without a resourceVersion in it neither is answered from a cache
        that lags behind.

        Raises:
            ClusterError: the request failed.
        """
        try:
            page = await self._page(path_of(namespace), {"fieldSelector": f"metadata.name={name}"})
        except NotFound:
            return None
        with validating(f"a list of {PLURAL}"):
            return next((parse_object(item) for item in page["items"] or ()), None)

    async def _page(self, path: str, query: Mapping[str, str], most: int = MOST_BYTES) -> dict[str, Any]:
        selector = {"labelSelector": self._selector} if self._selector else {}
        try:
            return await self._client.request("GET", path, query={**query, **selector}, most=most)
        except NotServed:
            # Also a proxy may say so, or an API server that has just started.
            if await self.are_served():
                raise
            raise NotFound(NOT_INSTALLED) from None
        except BadRequest as error:
            if not selector or "continue" in query:
                raise
            raise InvalidSelector("--watch-label-selector", self._selector, error) from None

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace the status of an object at its resourceVersion; return the new resourceVersion.

        Where only metadata was changed that concerns nobody here, such as a label, the write is repeated at once: a
        user or a tool that edits the object all the time does not keep its status from being written.

        Raises:
            ClusterError: `Conflict` or `NotFound` when the object was changed, deleted or re-created.
        """
        for _ in range(_WRITE_ATTEMPTS - 1):
            try:
                return await self._put_status(resource, status)
            except Conflict:
                current = await self.read(*resource.ref)
                if current is None or replace(current, version=resource.version) != resource:
                    raise
                resource = current
        return await self._put_status(resource, status)

    async def _put_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Send one write.

        A PUT with uid and resourceVersion is the only write that the server refuses when the object was deleted and
        re-created meanwhile.
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
        path = f"{path_of(resource.ref.namespace)}/{name_in_path(resource.ref.name)}/status"
        # The response needs the metadata only.
        found = await self._client.request("PUT", path, body=body, headers={"Accept": _METADATA_ONLY})
        with validating(f"a {KIND}"):
            written: str = found["metadata"]["resourceVersion"]
        return written


def _well_formed(items: Sequence[Any]) -> Iterator[BusinessEncryptionKey]:
    """Yield the objects of a list that can be parsed, and log the others."""
    for item in items:
        try:
            with validating(f"a {KIND}"):
                resource = parse_object(item)
        except ClusterError:
            log.warning("a malformed object in the list of %s is left out", PLURAL, extra={"object": _name_of(item)})
        else:
            yield resource


def _name_of(item: object) -> str:
    """Return namespace and name of an object, as far as it has them."""
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    names = (metadata.get(one) for one in ("namespace", "name")) if isinstance(metadata, Mapping) else ()
    return "/".join(one[:_LONGEST_NAME] if isinstance(one, str) else "?" for one in names) or "?"


def path_of(namespace: str | None) -> str:
    """Return the path of the objects of a namespace; of all namespaces without one."""
    within = f"/namespaces/{name_in_path(namespace)}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{within}/{PLURAL}"
