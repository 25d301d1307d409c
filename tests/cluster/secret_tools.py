"""Tools that manage a key's Secret; each class writes the Secret the way that the tool does.

Of the same Secret some replace all, some apply with a field manager of their own, some delete and create it anew.
`put` writes a key; `touch` changes only metadata, as each of them does from time to time.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar

from support import keys
from support.cluster.scene import Scene, secret
from support.keys import KeyPair

AUTHORITY = "certificate authority"


class SecretTool(ABC):
    """One tool with one Secret.

    Attributes:
        reference: What an object's `keySecretRef` says.
        name: The Secret's.
    """

    reference: ClassVar[Mapping[str, str]] = {"name": "flows-key"}

    def __init__(self, scene: Scene, name: str = "") -> None:
        self.scene = scene
        self.name = name or self.reference["name"]
        self._entries: Mapping[str, str] = {}
        self._round = count(1)
        self._exists = False

    def put(self, pair: KeyPair) -> None:
        """Write a key."""
        self.put_entries(self.entries(pair))

    def put_entries(self, entries: Mapping[str, str]) -> None:
        """Write a Secret with these entries."""
        self._entries = entries
        self._write(self._secret())

    def touch(self) -> None:
        """Write the same key with other metadata."""
        self._write(self._secret())

    def entries(self, pair: KeyPair) -> Mapping[str, str]:
        """Return what the tool puts into the Secret."""
        return {"private.pem": pair.private}

    @abstractmethod
    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return the metadata of the n-th write."""

    @abstractmethod
    def _write(self, body: dict[str, Any]) -> None:
        """Write it to the cluster."""

    def _secret(self, **more: Any) -> dict[str, Any]:
        body = secret(self.name, self._entries, **more)
        body["metadata"].update(self.metadata(next(self._round)))
        return body

    def _create_or_update(self, body: dict[str, Any]) -> None:
        self.scene.kubectl("replace" if self._exists else "create", "--filename=-", stdin=json.dumps(body))
        self._exists = True

    def _delete(self) -> None:
        self.scene.kubectl("delete", "secret", self.name, "--ignore-not-found")
        self._exists = False

    def _apply_by_force(self, manager: str, body: dict[str, Any]) -> None:
        force = ("--server-side", "--force-conflicts", f"--field-manager={manager}")
        self.scene.kubectl("apply", *force, "--filename=-", stdin=json.dumps(body))


class CertManager(SecretTool):
    """A Certificate of cert-manager, whose key changes at every renewal; by default it is PKCS#1."""

    reference: ClassVar[Mapping[str, str]] = {"name": "flows-tls"}
    encoding = "PKCS1"

    def put(self, pair: KeyPair) -> None:
        """Keep the next key in a Secret of its own while the certificate is issued."""
        staged = secret(f"{self.name}-staged", {"tls.key": self._encoded(pair)})
        staged["metadata"]["labels"] = {"cert-manager.io/next-private-key": "true"}
        self.scene.kubectl("create", "--filename=-", stdin=json.dumps(staged))
        super().put(pair)
        self.scene.kubectl("delete", "secret", staged["metadata"]["name"])

    def entries(self, pair: KeyPair) -> Mapping[str, str]:
        """Return the key, a certificate that an authority has issued for it, and the authority's."""
        issued, authority = keys.issued_certificate(pair.private, keys.rsa(AUTHORITY).private)
        return {"tls.key": self._encoded(pair), "tls.crt": issued + authority, "ca.crt": authority}

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return the names of the certificate and its issuer, and a label of the Secret's template."""
        annotations = {"cert-manager.io/certificate-name": "flows", "cert-manager.io/issuer-name": "internal"}
        labels = {"controller.cert-manager.io/fao": "true", "example.com/template": str(turn)}
        return {"annotations": annotations, "labels": labels}

    def renew_with_the_same_key(self, pair: KeyPair) -> None:
        """Renew as with `rotationPolicy: Never`: another certificate for the same key."""
        issued, authority = keys.issued_certificate(pair.private, keys.rsa(AUTHORITY).private, serial=2)
        self._entries = {**self._entries, "tls.crt": issued + authority}
        self._write(self._secret())

    def _encoded(self, pair: KeyPair) -> str:
        return keys.classic(pair.private) if self.encoding == "PKCS1" else pair.private

    def _write(self, body: dict[str, Any]) -> None:
        self._apply_by_force("cert-manager-certificates-issuing", {**body, "type": "kubernetes.io/tls"})


class CertManagerPKCS8(CertManager):
    """The same with `encoding: PKCS8`."""

    encoding = "PKCS8"


class ExternalSecrets(SecretTool):
    """An ExternalSecret whose template gives the entries names of their own."""

    reference: ClassVar[Mapping[str, str]] = {"name": "flows-key", "key": "flows.pem", "passphraseKey": "open"}

    def entries(self, pair: KeyPair) -> Mapping[str, str]:
        """Return the key and its passphrase."""
        return {"flows.pem": pair.private, "open": pair.passphrase or "unused"}

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return a digest of the data, and the owner."""
        digest = hashlib.sha256(f"{turn} {sorted(self._entries.items())}".encode()).hexdigest()
        return {
            "annotations": {"reconcile.external-secrets.io/data-hash": digest},
            "labels": {"reconcile.external-secrets.io/managed": "true"},
            "ownerReferences": [_owner("external-secrets.io/v1", "ExternalSecret")],
        }

    def _write(self, body: dict[str, Any]) -> None:
        self._create_or_update(body)


class SealedSecrets(SecretTool):
    """A SealedSecret, whose Secret is replaced as a whole."""

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return the owner, and the template's present labels."""
        owners = [_owner("bitnami.com/v1alpha1", "SealedSecret")]
        return {"labels": {"example.com/template": str(turn)}, "ownerReferences": owners}

    def _write(self, body: dict[str, Any]) -> None:
        self._create_or_update(body)


class SealedSecretsImmutable(SealedSecrets):
    """The same with `immutable` in its template: a user deletes the Secret, and it is created again."""

    def put(self, pair: KeyPair) -> None:
        """Delete the Secret, then write it with the new key."""
        self._delete()
        super().put(pair)

    def _secret(self, **more: Any) -> dict[str, Any]:
        return super()._secret(immutable=True, **more)


class FluxWithSops(SecretTool):
    """A Kustomization of Flux that decrypts with SOPS, and then applies by force."""

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return the labels of the Kustomization, and one that was edited."""
        names = {"kustomize.toolkit.fluxcd.io/name": "flows", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
        return {"labels": {**names, "example.com/edited": str(turn)}}

    def _write(self, body: dict[str, Any]) -> None:
        self._apply_by_force("kustomize-controller", body)


class FluxWithSopsReplacing(FluxWithSops):
    """The same with an immutable Secret that is marked to be replaced by force: deleted, then applied."""

    def put(self, pair: KeyPair) -> None:
        """Delete the Secret, then write it with the new key."""
        self._delete()
        super().put(pair)

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return the mark as well."""
        return {**super().metadata(turn), "annotations": {"kustomize.toolkit.fluxcd.io/force": "enabled"}}

    def _secret(self, **more: Any) -> dict[str, Any]:
        return super()._secret(immutable=True, **more)


class KubectlApply(SecretTool):
    """A user with a file and `kubectl apply`."""

    def metadata(self, turn: int) -> Mapping[str, Any]:
        """Return an annotation of the user."""
        return {"annotations": {"example.com/note": str(turn)}}

    def _write(self, body: dict[str, Any]) -> None:
        self.scene.apply(body)


class KubectlReplace(KubectlApply):
    """The same with `kubectl replace`."""

    def _write(self, body: dict[str, Any]) -> None:
        self._create_or_update(body)


TOOLS: tuple[type[SecretTool], ...] = (
    CertManager,
    CertManagerPKCS8,
    ExternalSecrets,
    SealedSecrets,
    SealedSecretsImmutable,
    FluxWithSops,
    FluxWithSopsReplacing,
    KubectlApply,
    KubectlReplace,
)


def _owner(version: str, kind: str) -> dict[str, Any]:
    uid = "6d5c8d4e-0000-4000-8000-000000000000"
    return {"apiVersion": version, "kind": kind, "name": "flows", "uid": uid, "controller": True}
