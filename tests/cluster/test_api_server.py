"""The API server of the tests is a real one, and used by them alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cluster.apiserver import ApiServer, KubectlError
from support.cluster.servers import ApiServerError
from support.programs.binaries import Binaries

if TYPE_CHECKING:
    from collections.abc import Callable

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  serviceAccountName: nobody
  containers:
  - {name: main, image: "example.invalid/none:1"}
"""


@pytest.fixture
def stand_in(api_server: ApiServer, tmp_path: Path) -> Callable[[str], Binaries]:
    """Provide a way to put a shell script in the place of kube-apiserver; `$REAL` calls the real one."""

    def make(script: str) -> Binaries:
        path = tmp_path / "kube-apiserver"
        path.write_text(f"#!/bin/sh\nREAL={api_server.binaries.kube_apiserver}\n{script}\n")
        path.chmod(0o755)
        real = api_server.binaries
        return Binaries(etcd=real.etcd, kube_apiserver=path, kubectl=real.kubectl)

    return make


def test_server_is_ready_once_started(api_server: ApiServer) -> None:
    """The server serves requests as soon as it was handed out."""
    assert api_server.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_service_accounts_have_no_rights_of_their_own(api_server: ApiServer, namespace: str) -> None:
    """RBAC refuses a token that no role was bound to."""
    api_server.kubectl("create", "serviceaccount", "nobody", f"--namespace={namespace}")
    token = api_server.service_account_token(namespace, "nobody")
    config = api_server.kubeconfig(token, name=f"nobody-{namespace}", namespace=namespace)
    with pytest.raises(KubectlError, match=rf"system:serviceaccount:{namespace}:nobody.* cannot list"):
        api_server.kubectl("get", "secrets", kubeconfig=config)


def test_audit_log_shows_who_wrote_what(api_server: ApiServer, namespace: str) -> None:
    """A write is in the audit log as soon as it was answered, with its user, verb and object."""
    mark = api_server.audit_mark()
    api_server.kubectl("create", "configmap", "noted", f"--namespace={namespace}")
    [write] = [event for event in api_server.audit(mark) if event.is_write and event.namespace == namespace]
    assert (write.user, write.verb, write.resource, write.name, write.code) == (
        "admin",
        "create",
        "configmaps",
        "noted",
        201,
    )


def test_audit_log_shows_refused_requests(api_server: ApiServer, namespace: str) -> None:
    """A request without permission is distinguished from one that was granted."""
    api_server.kubectl("create", "serviceaccount", "nobody", f"--namespace={namespace}")
    token = api_server.service_account_token(namespace, "nobody")
    config = api_server.kubeconfig(token, name=f"refused-{namespace}", namespace=namespace)
    mark = api_server.audit_mark()
    api_server.kubectl("delete", "configmap", "x", kubeconfig=config, check=False)
    refused = [
        event for event in api_server.audit(mark) if event.user.endswith(f":{namespace}:nobody") and event.is_refused
    ]
    assert [(event.verb, event.resource) for event in refused] == [("delete", "configmaps")]


def test_outage_loses_no_data(api_server: ApiServer, namespace: str) -> None:
    """During an outage nothing answers; afterwards address, tokens and objects are the same."""
    url = api_server.url
    api_server.kubectl("create", "configmap", "kept", f"--namespace={namespace}")
    config = api_server.kubeconfig(name=f"before-{namespace}", namespace=namespace)
    with api_server.outage(), pytest.raises(KubectlError, match="refused"):
        api_server.kubectl("get", "configmap", "kept", kubeconfig=config)
    assert (
        api_server.kubectl("get", "configmap", "kept", "--output=name", kubeconfig=config).stdout == "configmap/kept\n"
    )
    assert api_server.url == url


def test_foreign_kubeconfig_is_ignored(
    api_server: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever KUBECONFIG and the home folder say, kubectl talks to the server that was started here."""
    elsewhere = tmp_path / ".kube" / "config"
    elsewhere.parent.mkdir()
    elsewhere.write_text("not: a kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = api_server.kubectl("config", "view", "--output=jsonpath={.clusters[*].cluster.server}").stdout
    assert seen == api_server.url
    assert api_server.kubectl("get", "namespace", namespace, "--output=name").stdout == f"namespace/{namespace}\n"
    assert list(tmp_path.rglob("*")) == [elsewhere.parent, elsewhere]


def test_pods_need_no_controller_manager(api_server: ApiServer, namespace: str) -> None:
    """A Pod is accepted although its service account does not exist."""
    assert (
        api_server.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=POD).stdout == "pod/pod created\n"
    )


def test_pod_security_is_enforced(api_server: ApiServer, namespace: str) -> None:
    """A namespace that asks for restricted Pods refuses others."""
    api_server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        api_server.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=POD)


def test_failed_start_is_explained_and_leaves_nothing(stand_in: Callable[[str], Binaries], tmp_path: Path) -> None:
    """A server that ends at once is reported with its last output, and etcd and all files are removed."""
    server = ApiServer(stand_in(f"pwd > {tmp_path}/seen; echo bad flag; exit 3"))
    with pytest.raises(ApiServerError, match=r"kube-apiserver ended with exit status 3:\nbad flag"):
        server.start()
    folder = Path((tmp_path / "seen").read_text().strip())
    assert folder.name.startswith("bek-apiserver-")
    assert not folder.exists()


def test_taken_port_is_exchanged(stand_in: Callable[[str], Binaries], tmp_path: Path) -> None:
    """A port that is lost between its choice and its use costs another attempt and no more."""
    observed = tmp_path / "tried"
    lost = f'[ -e {observed} ] || {{ touch {observed}; echo "bind: address already in use"; exit 1; }}'
    with ApiServer(stand_in(f'{lost}\nexec "$REAL" "$@"')) as server:
        assert server.kubectl("get", "--raw", "/readyz").stdout == "ok"
    assert observed.exists()
