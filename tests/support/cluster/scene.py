"""A namespace with a user's objects: the key's Secret, credentials, a CA and BusinessEncryptionKeys.

Changes go through the real kubectl, as a user's. Reads do not: they are repeated often, and starting kubectl takes
thirty times as long as a request.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from support.cluster.apiserver import ApiServer
from support.cluster.audit import AuditEvent
from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT, OperatorProcess
from support.keys import KeyPair
from support.simulators.on_premises import OnPremises
from support.simulators.pod import PASSWORD, USERNAME

KEY_SECRET, LOGIN_SECRET, CA_SECRET = "flows-key", "whatsapp-admin", "whatsapp-ca"
_POLL_SECONDS = 0.05


class UserNamespace:
    """One namespace of an API server, and the simulator of its numbers."""

    def __init__(self, api_server: ApiServer, namespace: str, simulator: OnPremises) -> None:
        self.api_server = api_server
        self.namespace = namespace
        self.simulator = simulator

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace; return what it prints."""
        namespace = f"--namespace={self.namespace}"
        return self.api_server.kubectl(namespace, *arguments, stdin=stdin, check=check).stdout

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects as `kubectl apply` does."""
        self.kubectl("apply", "--filename=-", stdin="\n---\n".join(json.dumps(one) for one in objects))

    def put_secret(self, name: str, entries: Mapping[str, str | bytes], **more: Any) -> None:
        """Create or replace a Secret, with exactly these entries."""
        self.apply(secret(name, entries, **more))

    def put_key(self, pair: KeyPair, name: str = KEY_SECRET) -> None:
        """Put a private key into its Secret, with its passphrase if it has one."""
        entries = {"private.pem": pair.private}
        if pair.passphrase:
            entries["passphrase"] = pair.passphrase
        self.put_secret(name, entries)

    def put_access(self, password: str = PASSWORD) -> None:
        """Put the login and the CA of the simulator into their Secrets."""
        self.apply(
            secret(LOGIN_SECRET, {"username": USERNAME, "password": password}),
            secret(CA_SECRET, {"ca.crt": self.simulator.certificate.pem}),
        )

    def manifest(self, name: str = "flows", numbers: Iterable[str] | None = None, **spec: Any) -> dict[str, Any]:
        """Return a BusinessEncryptionKey for numbers of the simulator, by default all of them."""
        listed = list(self.simulator.pods) if numbers is None else list(numbers)
        return {
            "apiVersion": "bek.dev/v1alpha1",
            "kind": "BusinessEncryptionKey",
            "metadata": {"name": name},
            "spec": {
                "keySecretRef": {"name": KEY_SECRET},
                "apis": [self.api()],
                "phoneNumbers": [{"phoneNumber": number} for number in listed],
                **spec,
            },
        }

    def api(self, name: str = "default", url: str | None = None) -> dict[str, Any]:
        """Return an entry of `spec.apis` that leads to the simulator."""
        return {
            "name": name,
            "type": "OnPremises",
            "onPremises": {
                "url": url or self.simulator.url,
                "credentialsSecretRef": {"name": LOGIN_SECRET},
                "tls": {"caSecretRef": {"name": CA_SECRET, "key": "ca.crt"}},
            },
        }

    def get(self, name: str = "flows") -> dict[str, Any]:
        """Return an object."""
        return self._read(f"bek.dev/v1alpha1/namespaces/{self.namespace}/businessencryptionkeys/{name}")

    def objects(self) -> list[dict[str, Any]]:
        """Return every object."""
        path = f"bek.dev/v1alpha1/namespaces/{self.namespace}/businessencryptionkeys"
        return list(self._read(path)["items"])

    def ready(self, name: str = "flows") -> tuple[str, str]:
        """Return status and reason of the Ready condition, empty before there is one."""
        condition = conditions(self.get(name)).get("Ready", {})
        return condition.get("status", ""), condition.get("reason", "")

    def rows(self, name: str = "flows") -> dict[str, dict[str, Any]]:
        """Return the rows of an object's status by number."""
        return {row["phoneNumber"]: row for row in self.get(name).get("status", {}).get("phoneNumbers", ())}

    def reason(self, number: str, name: str = "flows") -> str:
        """Return the reason of a number's row, empty before there is one."""
        return str(self.rows(name).get(number, {}).get("reason", ""))

    def request_check(self, value: str, name: str = "flows") -> None:
        """Request a check of every number."""
        self.kubectl("annotate", "--overwrite", "bek", name, f"bek.dev/requested-at={value}")

    def request_checks(self) -> None:
        """Request a check of every number of every object."""
        self.request_check(secrets.token_hex(8), "--all")

    def check(self, name: str = "flows") -> None:
        """Request a check of every number, and wait until each was tried."""
        value = secrets.token_hex(8)
        self.request_check(value, name)
        self.wait_for(lambda: self.handled(name) == value, "every number was checked")

    def handled(self, name: str = "flows") -> str:
        """Return the last request for a check that was handled."""
        return str(self.get(name).get("status", {}).get("lastHandledReconcileAt", ""))

    def change(self, name: str = "flows", **spec: Any) -> None:
        """Change fields of an object's spec; return when the status is of the new generation."""
        self.kubectl("patch", "bek", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")
        self.wait_for(lambda: is_current(self.get(name)), "the change is observed")

    def events(self, name: str = "flows") -> list[tuple[str, str, str]]:
        """Return type, reason and note of every event on an object."""
        found = self._read(f"events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return [(one["type"], one["reason"], one["note"]) for one in found if one["regarding"]["name"] == name]

    def writes(self, since: int) -> list[AuditEvent]:
        """Return the operator's writes in the namespace since a mark of the audit log."""
        user = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
        requests = self.api_server.audit(since)
        return [one for one in requests if one.is_write and one.user == user and one.namespace == self.namespace]

    def wait_ready(self, name: str = "flows", seconds: int = 30) -> None:
        """Wait as a user does, with `kubectl wait`."""
        self.kubectl("wait", "--for=condition=Ready", f"bek/{name}", f"--timeout={seconds}s")

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something is true of the cluster or the simulator.

        Raises:
            TimeoutError: it did not; the message shows the objects.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                shown = self.kubectl("get", "bek", "--output=yaml", check=False)
                raise TimeoutError(f"{what}: not within {seconds:g} s\n{shown}")
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - the pause of a poll with a deadline, not a wait for time

    def _read(self, path: str) -> dict[str, Any]:
        return self.api_server.read(f"/apis/{path}")


class Scene(UserNamespace):
    """Such a namespace, and the operator that serves it."""

    def __init__(self, api_server: ApiServer, namespace: str, simulator: OnPremises, operator: OperatorProcess) -> None:
        super().__init__(api_server, namespace, simulator)
        self.operator = operator
        self._log_begins = operator.log.stat().st_size if operator.log.exists() else 0

    def log_text(self) -> str:
        """Return the operator's log since the scene was set up; it may have served others before."""
        return self.operator.log.read_bytes()[self._log_begins :].decode()


def conditions(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return an object's conditions by type."""
    return {one["type"]: one for one in body.get("status", {}).get("conditions", ())}


def is_current(body: Mapping[str, Any]) -> bool:
    """Return whether an object's status is of its present generation."""
    return bool(body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"])


def secret(name: str, entries: Mapping[str, str | bytes], **more: Any) -> dict[str, Any]:
    """Return a Secret; `more` are top-level members such as `immutable`."""
    # Not `stringData`: applying without an entry would not remove what was applied by it.
    data = {entry: base64.b64encode(_bytes(value)).decode() for entry, value in entries.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data, **more}


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
