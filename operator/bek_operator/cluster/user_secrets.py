"""Secrets with the rights of a user: read whole, and changed unless another tool writes them."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bek_operator.cluster.client import Client, name_in_path, validating
from bek_operator.cluster.errors import Conflict, Forbidden, NotFound
from bek_operator.cluster.user_objects import managed_by
from bek_operator.crd.fields import objects, typed

_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class UserSecret:
    """A Secret's decoded data at one resourceVersion, and why a user should not change it; empty for no reason."""

    version: str
    data: dict[str, bytes] = field(repr=False)
    refusal: str


class UserSecrets:
    """The Secrets of one namespace; errors say what the user can do."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def read(self, name: str) -> UserSecret:
        """Return a Secret.

        Raises:
            ClusterError: the request failed; `NotFound` when it does not exist.
        """
        body = await self._request("GET", name, "get")
        with validating("a Secret"):
            data = {entry: base64.b64decode(text) for entry, text in (body.get("data") or {}).items()}
            return UserSecret(body["metadata"]["resourceVersion"], data, refusal_of(body))

    async def change(self, name: str, version: str, entries: Mapping[str, bytes]) -> None:
        """Set entries of a Secret, if it still has that resourceVersion.

        Raises:
            ClusterError: the request failed; `Conflict` when it has another one.
        """
        data = {entry: base64.b64encode(content).decode() for entry, content in entries.items()}
        await self._request("PATCH", name, "patch", {"metadata": {"resourceVersion": version}, "data": data})

    async def _request(
        self, method: str, name: str, verb: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        path = f"/api/v1/namespaces/{name_in_path(self._namespace)}/secrets/{name_in_path(name)}"
        headers = {"Content-Type": _MERGE_PATCH} if body else {}
        shown = f'the Secret "{name}" in the namespace {self._namespace}'
        try:
            return await self._client.request(method, path, body=body, headers=headers)
        except Forbidden:
            raise Forbidden(f"you are not allowed to {verb} {shown}; the ClusterRole edit would allow it") from None
        except NotFound:
            raise NotFound(f'secrets "{name}" not found in the namespace {self._namespace}') from None
        except Conflict:
            raise Conflict(f"{shown} was changed in the meantime; try again") from None


def refusal_of(body: Mapping[str, Any]) -> str:
    """Return why a user should not change a Secret, and what to do instead; empty for no reason.

    https://cert-manager.io/docs/reference/annotations/, https://external-secrets.io/latest/guides/ownership-deletion-policy/,
    https://github.com/bitnami-labs/sealed-secrets and https://helm.sh/docs/chart_best_practices/labels/
    """
    return next(_refusals(body), "")


def _refusals(body: Mapping[str, Any]) -> Iterator[str]:
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owners = {
        typed(one.get("kind"), str): typed(one.get("name"), str) for one in objects(metadata.get("ownerReferences"))
    }
    if name := typed(annotations.get("cert-manager.io/certificate-name"), str):
        yield f"cert-manager writes it (Certificate {name}); renew that: cmctl renew {name}"
    if "ExternalSecret" in owners or "reconcile.external-secrets.io/managed" in labels:
        yield "External Secrets writes it; put the new key into the store that it reads"
    if "SealedSecret" in owners or "sealedsecrets.bitnami.com/managed" in annotations:
        yield "Sealed Secrets writes it; seal the new key with kubeseal, and apply or commit that"
    if tool := managed_by(metadata):
        yield f"{tool} applies it; commit the new key where that reads from"
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        yield "a Helm release has it; change the release"
    for kind, name in owners.items():
        yield f"{kind} {name} owns it, and can write it again; change that"
    if body.get("immutable") is True:
        yield "it is immutable; make another Secret with the new key, and refer to it in keySecretRef"
