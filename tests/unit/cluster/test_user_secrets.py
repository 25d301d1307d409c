"""Secrets that other tools write, as they mark them."""

from typing import Any

import pytest

from bek_operator.cluster.user_secrets import refusal_of


def owned(kind: str) -> dict[str, Any]:
    """Return metadata with an owner."""
    return {"ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": "flows", "uid": "1"}]}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"annotations": {"cert-manager.io/certificate-name": "flows"}}, "cmctl renew flows"),
        (owned("ExternalSecret"), "External Secrets writes it"),
        ({"labels": {"reconcile.external-secrets.io/managed": "true"}}, "External Secrets writes it"),
        (owned("SealedSecret"), "kubeseal"),
        ({"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}, "kubeseal"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "keys"}}, "Flux (Kustomization keys) applies it; commit"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "keys:/Secret:a/b"}}, "Argo CD (Application keys)"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "a Helm release has it"),
        (owned("VaultStaticSecret"), "VaultStaticSecret flows owns it"),
    ],
)
def test_tools(metadata: dict[str, Any], words: str) -> None:
    """Each is named, with what to do instead."""
    assert words in refusal_of({"metadata": metadata})


def test_a_secret_of_nobody() -> None:
    """It can be changed, unless it is immutable."""
    assert refusal_of({"metadata": {}}) == ""
    assert refusal_of({"metadata": {}, "immutable": True}).startswith("it is immutable; make another Secret")
