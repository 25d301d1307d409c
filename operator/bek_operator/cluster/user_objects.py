"""BusinessEncryptionKeys with the rights of a user: read, and patched as `kubectl patch` does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bek_operator.cluster.client import Client, name_in_path, validating
from bek_operator.cluster.errors import BadRequest, ClusterError, Forbidden, NotFound, NotServed
from bek_operator.cluster.objects import GROUP, KIND, PLURAL, path_of
from bek_operator.crd.fields import typed
from bek_operator.crd.parse import BusinessEncryptionKey, parse_object

_PAGE = 200
_MERGE_PATCH = "application/merge-patch+json"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
OBJECT_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object, and the GitOps tool that applies it: such as "Argo CD"; empty when none is known."""

    resource: BusinessEncryptionKey
    managed_by: str


class UserObjects:
    """The objects of one namespace, or of all namespaces without one; `BadRequest` for what cannot be a name.

    Errors say what the user can do; `Forbidden` names the missing right, `NotFound` what is missing.
    """

    def __init__(self, client: Client, namespace: str | None) -> None:
        self._client = client
        self._namespace = checked_namespace(namespace)

    async def list(self) -> Sequence[Found]:
        """Return every object.

        Raises:
            ClusterError: the request failed; `NotFound` when the CRD is not installed.
        """
        found: list[Found] = []
        query = {"limit": str(_PAGE)}
        while True:
            try:
                page = await self._client.request("GET", path_of(self._namespace), query=query)
            except NotServed:
                raise NotFound(f"the CRD {PLURAL}.{GROUP} is not installed in this cluster; apply crds/") from None
            except Forbidden:
                raise Forbidden(self._forbidden("list")) from None
            with validating(f"a list of {PLURAL}"):
                found += [_found(item) for item in page["items"] or ()]
                token = page["metadata"].get("continue")
            if not token:
                return found
            query["continue"] = token

    async def read(self, name: str) -> Found:
        """Return one object.

        Raises:
            ClusterError: the request failed; `NotFound` when it does not exist.
        """
        return await self._request("GET", name, "get")

    async def patch(self, name: str, change: Mapping[str, Any]) -> Found:
        """Merge a change into one object; return the result.

        Raises:
            ClusterError: the request failed; `NotFound` when it does not exist.
        """
        return await self._request("PATCH", name, "patch", change)

    async def dry_run(self, manifest: Mapping[str, Any], version: str | None) -> BusinessEncryptionKey:
        """Return what an object would be like with this manifest, once the API server has admitted it.

        `version`: the resourceVersion of the object; `None` if it does not exist.

        Raises:
            ClusterError: the request failed; `BadRequest` with the API server's words when it refuses the manifest.
        """
        name, path = manifest["metadata"]["name"], path_of(self._namespace)
        method, verb = ("POST", "create") if version is None else ("PUT", "update")
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version or ""}}
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        try:
            answer = await self._client.request(
                method, path if version is None else f"{path}/{name_in_path(name)}", query=query, body=body
            )
        except Forbidden:
            raise Forbidden(self._forbidden(verb)) from None
        except NotServed:
            await self.list()
            raise NotFound(f"the namespace {self._namespace} does not exist") from None
        except ClusterError as error:
            raise BadRequest(error.reply) if error.reply else error from None
        with validating(f"a {KIND}"):
            # Nothing was stored, so a new object has no version.
            answer["metadata"].setdefault("resourceVersion", "")
            return parse_object(answer)

    async def _request(self, method: str, name: str, verb: str, body: Mapping[str, Any] | None = None) -> Found:
        if not OBJECT_NAME.fullmatch(name):
            raise BadRequest(f"{name!r} cannot be the name of a {KIND}; write NAME or bek/NAME")
        headers = {"Content-Type": _MERGE_PATCH} if body else {}
        path = f"{path_of(self._namespace)}/{name_in_path(name)}"
        try:
            answer = await self._client.request(method, path, body=body, headers=headers)
        except (NotFound, NotServed):
            # The object, or the CRD itself.
            await self.list()
            raise NotFound(f'{PLURAL}.{GROUP} "{name}" not found in the namespace {self._namespace}') from None
        except Forbidden:
            raise Forbidden(self._forbidden(verb)) from None
        with validating(f"a {KIND}"):
            return _found(answer)

    def _forbidden(self, verb: str) -> str:
        within = f"in the namespace {self._namespace}" if self._namespace else "in all namespaces"
        role = "view" if verb in {"get", "list"} else "edit"
        return f"you are not allowed to {verb} {PLURAL}.{GROUP} {within}; the ClusterRole {role} would allow it"


def checked_namespace(name: str | None) -> str | None:
    """Return a namespace's name.

    Raises:
        BadRequest: no namespace can have it.
    """
    if name is not None and not _LABEL.fullmatch(name):
        raise BadRequest(f"{name!r} cannot be the name of a namespace")
    return name


def _found(body: Mapping[str, Any]) -> Found:
    return Found(resource=parse_object(body), managed_by=managed_by(body["metadata"]))


def managed_by(metadata: Mapping[str, Any]) -> str:
    """Return the GitOps tool whose labels or annotations an object has; empty without any.

    https://fluxcd.io/flux/components/kustomize/kustomizations/#inventory and
    https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
    """
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for kind, word in (("kustomize", "Kustomization"), ("helm", "HelmRelease")):
        if name := typed(labels.get(f"{kind}.toolkit.fluxcd.io/name"), str):
            return f"Flux ({word} {name})"
    if tracking := typed(annotations.get("argocd.argoproj.io/tracking-id"), str):
        return f"Argo CD (Application {tracking.partition(':')[0]})"
    if name := typed(labels.get("argocd.argoproj.io/instance"), str):
        return f"Argo CD (Application {name})"
    return ""
