"""The tour: what the operator does, shown with kubectl; every claim is checked.

Every step checks the object's status and the simulated APIs themselves.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping

from demo.console import Shell, StepFailedError
from demo.mixed import Mixed
from support import keys
from support.cluster.scene import CA_SECRET, KEY_SECRET, LOGIN_SECRET, Scene, conditions
from support.simulators.business import TOKEN_SECRET
from support.simulators.pod import PASSWORD, USERNAME

ON_PREMISES = ("+15550001111", "+15550002222")
AT_META, PHONE_NUMBER_ID = "+15550003333", "106540352242933"
NAMESPACE = "messaging"
FLOWS_CA_SECRET = "flows-ca"

NEW_KEY = f"""\
openssl genrsa 2048 |
    kubectl create secret generic {KEY_SECRET} --from-file=private.pem=/dev/stdin --dry-run=client -o yaml |
    kubectl apply -f -"""
GET, GET_WIDE, STATUS = "kubectl get bek", "kubectl get bek -o wide", "kubectl bek status"
UNHEALTHY = f"{STATUS} --unhealthy"
NOT_WELL = 1
"""The exit status of `kubectl bek status` when something is wrong."""

CHECK_NOW = 'kubectl annotate bek flows --overwrite bek.dev/requested-at="$(date)"'
EVENTS = "kubectl events --for bek/flows"


class Tour:
    """The steps, for a scene with the numbers of deploy/demo: those `ON_PREMISES`, and the one `AT_META`.

    `seconds` is how long each step may take.
    """

    def __init__(self, scene: Scene, numbers: Mixed, shell: Shell, *, seconds: int = 60) -> None:
        self._scene = scene
        self._numbers = numbers
        self._shell = shell
        self._console = shell.console
        self._seconds = seconds

    def walk(self) -> None:
        """Take every step.

        Raises:
            StepFailedError: a step failed.
        """
        for step in (self.install, self.sign, self.rotate, self.rotate_too_early, self.miss_a_pod, self.repair):
            step()
        if self._numbers.violations:
            raise StepFailedError(f"nothing but the public key to be sent: {'; '.join(self._numbers.violations)}")

    def install(self) -> None:
        """Install the operator as it is shipped, and start it."""
        self._console.heading("1. Install the operator")
        self._shell.run("kubectl version")
        self._shell.run("kubectl apply -k deploy/default")
        self._shell.run("kubectl wait --for=condition=Established crd/businessencryptionkeys.bek.dev")
        self._scene.operator.ensure_running()
        self._console.say(
            "This cluster has no nodes, so the Deployment stays without a Pod. The operator runs beside it, as a\n"
            "process of its own, under the service account that was just installed; --cloud-url names the simulated\n"
            "Cloud API."
        )

    def sign(self) -> None:
        """Sign three numbers that hold no key yet."""
        self._console.heading("2. One key, three phone numbers")
        self._console.say(
            "Two numbers live on On-Premises API pods, one on Meta's Cloud API; all of them are simulated. None of\n"
            "them holds a key:"
        )
        self._show_numbers()
        self._shell.run("kubectl apply -f deploy/demo/namespace.yaml")
        self._shell.run(NEW_KEY)
        self._shell.run(
            f"kubectl create secret generic {LOGIN_SECRET} --from-literal=username={USERNAME} "
            f"--from-literal=password={PASSWORD}"
        )
        folder = self._scene.api_server.folder
        ca, token = folder / "whatsapp-ca.crt", folder / "meta-token"
        ca.write_text(self._scene.simulator.certificate.authority, encoding="utf-8")
        token.write_text(self._numbers.business.token.text, encoding="utf-8")
        self._shell.run(f"kubectl create secret generic {CA_SECRET} --from-file=ca.crt={ca}")
        self._shell.run(f"kubectl create secret generic {TOKEN_SECRET} --from-file=token={token}")
        self._shell.run("cat deploy/demo/key.yaml")
        self._console.rest(3)
        at_the_pods = f"sed 's|https://whatsapp-{{digits}}|{self._scene.simulator.url}|'"
        self._shell.run(f"{at_the_pods} deploy/demo/key.yaml | kubectl apply -f -")
        self._shell.run(
            f"kubectl wait --for=condition=Ready bek/flows --timeout={self._seconds}s",
            seconds=self._seconds + 10,
            expected="all three numbers signed",
        )
        self._wait_signed()
        self._shell_shows(GET_WIDE, "True", "3/3")
        self._show_numbers()

    def rotate(self) -> None:
        """Rotate the key."""
        self._console.heading("3. Rotate the key")
        self._console.say("A new key goes into the Secret; nothing else is changed.")
        began = time.monotonic()
        self._shell.run(NEW_KEY)
        took = self._wait_signed()
        first, *others = sorted(self._numbers.published_since(began).items())
        if first[0] != ON_PREMISES[0] or first[1] > min(at for _, at in others):
            raise StepFailedError(f"the new key on {ON_PREMISES[0]} before any other number")
        self._console.say(
            f"{took:.1f} s later all three hold it. {first[0]} got it first, the others after that one was VALID:\n"
            "a key that an API refuses goes no further (see `kubectl explain bek.spec.rollout`)."
        )
        self._shell_shows(GET_WIDE, "True", "3/3", self._key().fingerprint.removeprefix("sha256:")[:12])
        self._show_numbers()

    def rotate_too_early(self) -> None:
        """Rotate the key before the business's own endpoint holds it."""
        self._console.heading("4. Rotate it before your endpoint has the key")
        self._console.say(
            "Whatever Flows send is decrypted by your own endpoint, here a simulated one that holds today's key. The\n"
            "object names it:"
        )
        before, endpoint = self._key(), self._numbers.endpoint
        endpoint.hold(before)
        ca = self._scene.api_server.folder / "flows-ca.crt"
        ca.write_text(endpoint.certificate.authority, encoding="utf-8")
        self._shell.run(f"kubectl create secret generic {FLOWS_CA_SECRET} --from-file=ca.crt={ca}")
        tls = {"caSecretRef": {"name": FLOWS_CA_SECRET, "key": "ca.crt"}}
        self._patch({"flowsEndpoint": {"url": endpoint.url, "tls": tls}})
        self._wait_for(lambda: self._endpoint() == "EndpointHoldsKey", "the endpoint opens the key")
        self._console.say("A new key goes into the Secret, and the endpoint does not have it yet:")
        self._shell.run(NEW_KEY)
        key = self._key()
        self._wait_for(lambda: self._endpoint() == "EndpointLacksKey", "the endpoint lacks the new key")
        self._shell_shows(GET, "False", "EndpointLacksKey")
        self._shell_shows(UNHEALTHY, "WaitingForEndpoint", "421", status=NOT_WELL)
        if not self._numbers.all_hold(before.public):
            raise StepFailedError("the old key on every number")
        self._console.say("Every number keeps the old key, so no Flow is broken. Now the endpoint gets the new one:")
        endpoint.hold(key)
        took = self._wait_signed()
        self._console.say(f"{took:.1f} s later:")
        self._shell_shows(GET_WIDE, "True", "3/3")
        self._show_numbers()
        self._patch({"flowsEndpoint": None})

    def miss_a_pod(self) -> None:
        """Rotate the key while a pod is down, then bring the pod back."""
        self._console.heading("5. Rotate it while a pod is down")
        down = ON_PREMISES[1]
        before = self._key()
        self._numbers.stop(down)
        self._console.say(
            f"The API pod of {down} goes down. Pods restart, so the operator reports that only after some minutes.\n"
            "A requested check reports it at once:"
        )
        self._shell.run(CHECK_NOW)
        self._wait_for(lambda: self._is_missing(down, before), f"2/3, with {down} Unreachable")
        self._shell_shows(GET, "False", "2/3", "Unreachable")
        self._console.say("And now the key is rotated.")
        self._shell.run(NEW_KEY)
        key = self._key()
        self._wait_for(
            lambda: self._is_missing(down, key),
            f"2/3, with {down} Unreachable and the new key on the other two numbers",
        )
        self._console.say("The other two do not wait for it, and the status names the cause:")
        self._shell_shows(GET_WIDE, "False", "2/3", "Unreachable")
        self._shell_shows(UNHEALTHY, down, "Unreachable", status=NOT_WELL)
        self._show_numbers()
        self._numbers.start(down)
        self._console.say("The pod comes back. The operator has been retrying, so nothing else is necessary.")
        took = self._wait_signed()
        self._console.say(f"{took:.1f} s later:")
        self._shell_shows(GET_WIDE, "True", "3/3")
        self._show_numbers()

    def repair(self) -> None:
        """Lose a signature, and wait until it is repaired."""
        self._console.heading("6. Lose a signature")
        lost = self._numbers.numbers[AT_META]
        publishes = lost.publishes
        lost.re_register()
        self._console.say(f"{AT_META} is registered again, and the Cloud API no longer accepts the key's signature:")
        self._show_numbers()
        self._console.say(
            "The operator gets no notice of that. It checks each number periodically, here every 10 seconds, and\n"
            "publishes the key again."
        )
        began, key = time.monotonic(), self._key()
        self._wait_for(
            lambda: (
                lost.publishes > publishes
                and self._is_signed(key)
                and "StaleSignature" in self._scene.kubectl("get", "events")
            ),
            f"the key published to {AT_META} again, 3/3 signed, and an event for it",
        )
        self._console.say(f"{time.monotonic() - began:.1f} s later:")
        self._shell_shows(GET_WIDE, "True", "3/3")
        self._show_numbers()
        self._console.say("The object's events show all of it:")
        self._shell_shows(EVENTS, "StaleSignature", "Published", "Unreachable")
        self._console.say("And kubectl bek, the plugin for kubectl, shows the object with every number:")
        self._shell_shows(STATUS, *self._numbers.numbers, "3/3 signed")

    def _patch(self, spec: Mapping[str, object]) -> None:
        self._shell.run(f"kubectl patch bek flows --type=merge -p '{json.dumps({'spec': spec})}'")

    def _endpoint(self) -> str:
        """Return the endpoint's reason in the status."""
        return str(self._scene.get().get("status", {}).get("flowsEndpoint", {}).get("reason", ""))

    def _shell_shows(self, line: str, *expected: str, status: int = 0) -> None:
        output = self._shell.run(line, status=status)
        missing = [word for word in expected if word not in output]
        if missing:
            raise StepFailedError(f"{' and '.join(missing)} in what this prints: {line}")

    def _show_numbers(self) -> None:
        self._console.show("\n")
        self._console.aside(str(self._numbers))

    def _wait_signed(self) -> float:
        """Wait until every number holds the Secret's key; return how long that took."""
        began = time.monotonic()
        key = self._key()
        self._wait_for(lambda: self._is_signed(key), f"3/3 signed with key {key.fingerprint}, on every number")
        return time.monotonic() - began

    def _is_signed(self, key: keys.KeyPair) -> bool:
        return self._shown() == ("True", "3/3", key.fingerprint) and self._numbers.all_hold(key.public)

    def _is_missing(self, down: str, key: keys.KeyPair) -> bool:
        return (
            self._shown() == ("False", "2/3", key.fingerprint)
            and self._scene.reason(down) == "Unreachable"
            and all(one.holds(key.public) for number, one in self._numbers.numbers.items() if number != down)
        )

    def _shown(self) -> tuple[str, str, str]:
        """Return from the status: Ready, the count of signed numbers, the key."""
        found = self._scene.get()
        status = found.get("status", {})
        ready = conditions(found).get("Ready", {}).get("status", "")
        return ready, status.get("signed", ""), status.get("publicKeyFingerprint", "")

    def _key(self) -> keys.KeyPair:
        """Return the Secret's key, read without the operator."""
        found = json.loads(self._scene.kubectl("get", "secret", KEY_SECRET, "--output=json"))
        private = base64.b64decode(found["data"]["private.pem"]).decode()
        return keys.KeyPair(private=private, public=keys.public_of(private))

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        try:
            self._scene.wait_for(condition, what, self._seconds)
        except TimeoutError:
            raise StepFailedError(f"{what}, within {self._seconds} s") from None
