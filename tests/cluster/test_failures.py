"""The reasons of numbers whose API cannot be used, and that nothing is published on a guess."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from support import keys
from support.cluster.scene import CA_SECRET, LOGIN_SECRET, Scene, conditions, secret
from support.simulators import faults
from support.simulators.exchange import Fault
from support.simulators.ledger import Kind
from support.simulators.pod import PASSWORD, USERNAME, Pod
from support.tls import self_signed

TIME, USER = "Reconciling", "Stalled"


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and the expected reason, abnormal condition and part of the message."""

    fault: Fault
    reason: str
    abnormal: str
    message: str


def first_pod(scene: Scene) -> Pod:
    """Return the pod of the first number."""
    return next(iter(scene.simulator.pods.values()))


def ready_reason(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reason of an object's Ready condition and the abnormal condition beside it."""
    found = conditions(body)
    beside = [kind for kind in found if kind != "Ready"]
    return found.get("Ready", {}).get("reason", "Progressing"), " ".join(beside)


def go_through(scene: Scene, kind: Kind, cases: Mapping[str, Case]) -> list[Pod]:
    """Give each case a number and an object, compare the reported reason, then remove all faults.

    Nothing is published before that, unless it is publishing that fails.
    """
    scene.put_key(keys.rsa())
    pods = [scene.simulator.add(f"+1558{index:07}", own_port=False) for index in range(len(cases))]
    for pod, case in zip(pods, cases.values(), strict=True):
        pod.fail(kind, case.fault, None)
    names = {name.lower().replace(" ", "-"): name for name in cases}
    manifests = [scene.manifest(name, [pod.number]) for name, pod in zip(names, pods, strict=True)]
    scene.kubectl("create", "--filename=-", stdin="\n---\n".join(map(json.dumps, manifests)))
    scene.wait_for(lambda: all(ready_reason(one)[0] != "Progressing" for one in scene.objects()), "all are checked")

    found = {names[one["metadata"]["name"]]: one for one in scene.objects()}
    error = {name: conditions(one)["Ready"]["message"] for name, one in found.items()}
    assert {name: ready_reason(one) for name, one in found.items()} == {
        name: (case.reason, case.abnormal) for name, case in cases.items()
    }
    assert {name: error[name] for name, case in cases.items() if case.message not in error[name]} == {}
    for pod in pods:
        assert kind == "publish" or pod.publishes == 0
        pod.heal()
    scene.kubectl("annotate", "bek", "--all", "bek.dev/requested-at=healed")
    scene.wait_for(lambda: all(ready_reason(one) == ("Succeeded", "") for one in scene.objects()), "all are well")
    return pods


PROXY_PAGE = "the response is not from the WhatsApp API; check `onPremises.url` (HTTP 200)"
CUT = "the connection broke, or the response was not HTTP"

FAILING_READS: Mapping[str, Case] = {
    "code 429": Case(faults.error(429), "RateLimited", TIME, "rate limited; retrying"),
    "code 433": Case(faults.error(433), "NotRegistered", USER, "register the number again"),
    "code 1000": Case(faults.error(1000), "ServiceNotReady", TIME, "(code 1000)"),
    "code 1005": Case(faults.error(1005), "AccessDenied", USER, "access denied: check user name and password"),
    "code 1006 under another status": Case(
        faults.error(1006, status=400), "Unsupported", USER, "it must end before /v1"
    ),
    "code 1011": Case(faults.error(1011), "ServiceNotReady", TIME, "its core is not ready yet"),
    "code 1014": Case(faults.error(1014), "ServiceNotReady", TIME, "internal error of the API"),
    "code 1015": Case(faults.rate_limited(), "RateLimited", TIME, "rate limited; retrying"),
    "code 1016": Case(faults.error(1016), "RateLimited", TIME, "the API is overloaded"),
    "code 1017": Case(faults.error(1017), "ServiceNotReady", TIME, "electing its primary master"),
    "code 1023": Case(faults.error(1023), "ServiceNotReady", TIME, "database is temporarily unavailable"),
    "code 1031": Case(faults.error(1031), "AccessDenied", USER, "the user is locked"),
    "code under 200": Case(faults.error(1011, status=200), "ServiceNotReady", TIME, "(code 1011)"),
    "unknown code": Case(faults.error(2999, status=400), "InvalidAnswer", TIME, "(code 2999)"),
    "page under 200": Case(faults.page(), "InvalidAnswer", TIME, PROXY_PAGE),
    "page under 403": Case(faults.page(403), "AccessDenied", USER, "any proxy in between (HTTP 403)"),
    "page under 404": Case(faults.page(404), "InvalidAnswer", TIME, "HTTP 404, not from the WhatsApp API"),
    "page under 502": Case(faults.page(502), "ServiceNotReady", TIME, "(HTTP 502)"),
    "odd reason phrase": Case(faults.odd_reason(), "ServiceNotReady", TIME, "(code 1011)"),
    "malformed": Case(faults.text('{"business_public_key": "-----BEG'), "InvalidAnswer", TIME, PROXY_PAGE),
    "bare object": Case(faults.text("{}"), "InvalidAnswer", TIME, PROXY_PAGE),
    "VALID without a key": Case(
        faults.text('{"business_public_key": "", "business_public_key_signature_status": "VALID", "meta": {}}'),
        "InvalidAnswer",
        TIME,
        "reports VALID without a readable key, so nothing is published",
    ),
    "redirect": Case(
        faults.redirect("/15550000001/v1/users/login"), "InvalidAnswer", TIME, "redirects are not followed"
    ),
    "permanent redirect": Case(faults.redirect("https://127.0.0.1:1/", 308), "InvalidAnswer", TIME, "(HTTP 308)"),
    "huge": Case(faults.Huge(), "InvalidAnswer", TIME, "the response is larger than 65536 bytes"),
    "endless": Case(faults.Endless(), "InvalidAnswer", TIME, "the response is larger than 65536 bytes"),
    "packed": Case(faults.GzipBomb(), "InvalidAnswer", TIME, "Content-Encoding, which was not requested"),
    "cut off before the answer": Case(faults.CutOff(), "Unreachable", TIME, CUT),
    "cut off in the head": Case(faults.CutOff(within="head"), "Unreachable", TIME, CUT),
    "cut off in the body": Case(faults.CutOff(within="body"), "Unreachable", TIME, CUT),
    "reset": Case(faults.CutOff(reset=True), "Unreachable", TIME, CUT),
}

FAILING_LOGINS: Mapping[str, Case] = {
    "code 1005": FAILING_READS["code 1005"],
    "code 1011": FAILING_READS["code 1011"],
    "code 1015": FAILING_READS["code 1015"],
    "code 1024": Case(faults.error(1024), "PasswordChangeRequired", USER, "change it by hand"),
    "page under 200": FAILING_READS["page under 200"],
    "no token": Case(faults.text('{"users": [], "meta": {}}'), "InvalidAnswer", TIME, PROXY_PAGE),
    "redirect": FAILING_READS["redirect"],
    "cut off": FAILING_READS["cut off before the answer"],
}

FAILING_PUBLISHES: Mapping[str, Case] = {
    "code 1000": FAILING_READS["code 1000"],
    "code 1008": Case(faults.error(1008), "Unsupported", USER, "must be version 2.51 or newer"),
    "code 1009": Case(faults.error(1009), "KeyRejected", USER, "rejects the public key"),
    "code 1011": FAILING_READS["code 1011"],
    "code 1014": FAILING_READS["code 1014"],
    "code 1015": FAILING_READS["code 1015"],
    "page under 200": FAILING_READS["page under 200"],
    "redirect": FAILING_READS["redirect"],
    "endless": FAILING_READS["endless"],
    "cut off": FAILING_READS["cut off before the answer"],
}


def test_a_failing_read_is_reported_and_nothing_is_published(scene: Scene) -> None:
    """Whatever a read fails by, the object says so, says who must act, and no key is handed over on a guess."""
    bystander = first_pod(scene)

    pods = go_through(scene, "read", FAILING_READS)

    assert [pod.publishes for pod in pods] == [1] * len(pods)
    assert bystander.requests == []
    assert scene.simulator.strays == []


def test_a_failing_login_is_reported_and_nothing_is_published(scene: Scene) -> None:
    """The same goes for what a login fails by."""
    pods = go_through(scene, "login", FAILING_LOGINS)

    assert [pod.publishes for pod in pods] == [1] * len(pods)
    assert scene.simulator.violations == []


def test_a_failing_publish_is_reported_and_followed_by_a_read(scene: Scene) -> None:
    """Every failure of a publish is reported, and the next publish comes after a read."""
    pods = go_through(scene, "publish", FAILING_PUBLISHES)

    for pod in pods:
        calls = "-".join(record.kind for record in pod.requests if record.kind != "login")
        assert "publish-publish" not in calls
        assert calls.endswith("publish-read")


def test_a_publish_that_is_turned_away_for_a_moment_is_repeated_and_does_not_count(scene: Scene) -> None:
    """A failover is waited for, and is none of the publishes that the back-off counts."""
    pod = first_pod(scene)
    pod.fail("publish", faults.error(1017))
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_ready()

    assert [record.kind for record in pod.requests] == ["login", "read", "publish", "read", "publish", "read"]
    assert scene.rows()[pod.number]["publishes"] == 1


def test_a_publish_that_is_denied_is_tried_with_a_new_login_once(scene: Scene) -> None:
    """Where the second token is refused, too, a person is asked."""
    pod = first_pod(scene)
    pod.fail("publish", faults.error(1005), None)
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_for(lambda: ready_reason(scene.get()) == ("AccessDenied", USER), "access is denied")

    assert [record.kind for record in pod.requests] == ["login", "read", "publish", "login", "publish"]


def test_a_publish_that_is_cut_off_after_it_took_effect_is_not_repeated(scene: Scene) -> None:
    """A read finds the key where the answer to the publish was lost."""
    pod = first_pod(scene)
    pod.fail("publish", faults.CutOff(carried_out=True))
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_for(lambda: scene.ready() == ("False", "Unreachable"), "the lost answer is reported")
    scene.wait_ready()

    assert pod.publishes == 1


def test_a_wrong_password_is_reported_and_heals_with_its_secret(scene: Scene) -> None:
    """Correcting the login Secret is all it takes."""
    scene.put_access("guessed")
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest())
    scene.wait_for(lambda: ready_reason(scene.get()) == ("AccessDenied", USER), "access is denied")
    assert scene.get()["status"]["signed"] == "0/3"
    assert scene.simulator.reads == scene.simulator.publishes == 0

    scene.put_access(PASSWORD)
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.rsa().public)


def test_the_first_password_is_left_to_a_person(scene: Scene) -> None:
    """A deployment without a first login is reported, and its password is not changed."""
    pod = first_pod(scene)
    pod.username, pod.password = "admin", "secret"
    scene.put_secret(LOGIN_SECRET, {"username": "admin", "password": "secret"})
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_for(lambda: ready_reason(scene.get()) == ("PasswordChangeRequired", USER), "the first login is reported")
    assert pod.violations == []

    pod.password = "Brand-New-9"
    scene.put_secret(LOGIN_SECRET, {"username": "admin", "password": "Brand-New-9"})
    scene.wait_ready()


def test_a_token_that_expires_early_is_replaced_unnoticed(scene: Scene) -> None:
    """One refusal leads to one login, and to no word in the status."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.simulator.forget_requests()
    for pod in scene.simulator.pods.values():
        pod.expire_tokens()

    scene.check()

    assert scene.ready() == ("True", "Succeeded")
    for pod in scene.simulator.pods.values():
        assert [record.kind for record in pod.requests] == ["read", "login", "read"]


def test_another_certificate_is_reported_and_heals_with_the_ca_secret(scene: Scene) -> None:
    """Nothing is sent to a pod whose certificate is not trusted, until the CA Secret says that it is."""
    pod = first_pod(scene)
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[pod.number], apis=[scene.api(url=pod.url)]))
    scene.wait_ready()
    scene.simulator.forget_requests()
    renewed = self_signed()
    pod.show_certificate(renewed)

    scene.check()
    assert ready_reason(scene.get()) == ("CertificateNotTrusted", USER)
    assert "is not signed by a trusted CA" in scene.rows()[pod.number]["message"]
    assert pod.requests == []

    scene.put_secret(CA_SECRET, {"ca.crt": scene.simulator.certificate.pem + renewed.pem})
    scene.wait_ready()
    assert pod.publishes == 0


def test_a_certificate_is_checked_for_its_name_and_its_dates(scene: Scene) -> None:
    """The name is the one that `serverName` gives, or else the host's; an expired certificate is none."""
    by_name, wrong_name, expired = scene.simulator.pods.values()
    by_name.show_certificate(elsewhere := self_signed("elsewhere.example"))
    wrong_name.show_certificate(elsewhere)
    expired.show_certificate(old := self_signed(start=datetime.now(UTC) - timedelta(days=9), life=timedelta(days=1)))
    scene.put_secret(CA_SECRET, {"ca.crt": elsewhere.pem + old.pem})
    scene.put_key(keys.rsa())

    apis = [scene.api(f"pod-{pod.digits}", pod.url) for pod in (by_name, wrong_name, expired)]
    apis[0]["onPremises"]["tls"]["serverName"] = "elsewhere.example"
    apis[1]["onPremises"]["tls"]["serverName"] = "whatsapp-web-service"
    phones = [{"phoneNumber": pod.number, "api": f"pod-{pod.digits}"} for pod in scene.simulator.pods.values()]
    scene.apply(scene.manifest(apis=apis, phoneNumbers=phones))
    scene.wait_for(lambda: ready_reason(scene.get()) == ("CertificateNotTrusted", USER), "two are refused")

    rows = scene.rows()
    assert rows[by_name.number]["reason"] == "Signed"
    assert rows[wrong_name.number]["message"].endswith("the name whatsapp-web-service; check `tls.serverName`")
    assert rows[expired.number]["message"].endswith("certificate has expired")
    assert "2 of 3 numbers: " in conditions(scene.get())["Ready"]["message"]


def test_access_that_cannot_be_used_is_reported_and_heals_with_its_secret(scene: Scene) -> None:
    """A CA that is none and a login that cannot be sent are named by Secret and entry, before any call."""
    certificate = scene.simulator.certificate.pem
    login: dict[str, str | bytes] = {"username": USERNAME, "password": PASSWORD}
    broken: dict[str, tuple[dict[str, str | bytes], str, str]] = {
        "no-pem": ({**login, "ca.crt": "hello"}, "InvalidCredentials", "no certificate in PEM form"),
        "cut-short": ({**login, "ca.crt": certificate[:200]}, "InvalidCredentials", "a truncated certificate"),
        "no-ca": (login, "CredentialsNotFound", "entry ca.crt of Secret no-ca does not exist"),
        "empty": (
            {"username": USERNAME, "password": "", "ca.crt": certificate},
            "InvalidCredentials",
            "entry password of Secret empty is empty",
        ),
        "colon": (
            {"username": "a:b", "password": PASSWORD, "ca.crt": certificate},
            "InvalidCredentials",
            "entry username of Secret colon must not contain a colon",
        ),
        "no-text": (
            {"username": USERNAME, "password": b"\xff\xfe", "ca.crt": certificate},
            "InvalidCredentials",
            "entry password of Secret no-text is not UTF-8 text",
        ),
    }
    scene.put_key(keys.rsa())
    manifests = []
    for index, name in enumerate(broken):
        api = scene.api()
        api["onPremises"]["credentialsSecretRef"]["name"] = api["onPremises"]["tls"]["caSecretRef"]["name"] = name
        pod = scene.simulator.add(f"+1559{index:07}", own_port=False)
        manifests.append(scene.manifest(name, [pod.number], apis=[api]))

    scene.apply(*(secret(name, entries) for name, (entries, *_) in broken.items()), *manifests)
    scene.wait_for(lambda: all(ready_reason(one)[0] != "Progressing" for one in scene.objects()), "all are checked")
    found = {one["metadata"]["name"]: conditions(one)["Ready"] for one in scene.objects()}

    assert {name: one["reason"] for name, one in found.items()} == {name: row[1] for name, row in broken.items()}
    for name, (_, _, message) in broken.items():
        assert message in found[name]["message"]
    assert scene.simulator.requests == []

    scene.apply(*(secret(name, {**login, "ca.crt": certificate}) for name in broken))
    scene.wait_for(lambda: all(ready_reason(one) == ("Succeeded", "") for one in scene.objects()), "all are well")


def test_a_server_that_asks_for_patience_is_left_alone(scene: Scene) -> None:
    """Retry-After is honoured even when a person asks for a check, and holds up no other number."""
    other, limited, _ = scene.simulator.pods.values()
    limited.fail("read", faults.rate_limited("1800"))
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[other.number, limited.number]))
    scene.wait_for(lambda: ready_reason(scene.get()) == ("RateLimited", TIME), "the limit is reported")

    scene.request_check("impatiently")
    other.wait_until(lambda: other.reads >= 3, what="the other number is looked at again")
    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: other.holds(keys.rsa("second").public), "the other number has the new key")

    assert limited.reads == 1
    assert limited.publishes == 0
    assert scene.reason(limited.number) == "RateLimited"


def test_a_host_that_is_not_allowed_is_reported_with_the_flag(scene: Scene) -> None:
    """Nobody is called where the operator was not allowed to; the flag is named, and others are signed."""
    apis = [
        scene.api("outside", "https://whatsapp.example.com"),
        scene.api(),
    ]
    first, second, _ = scene.simulator.pods
    scene.put_key(keys.rsa())

    listed = [{"phoneNumber": first}, {"phoneNumber": second, "api": "outside"}]
    scene.apply(scene.manifest(apis=apis, phoneNumbers=listed))
    scene.wait_for(lambda: ready_reason(scene.get()) == ("HostNotAllowed", USER), "the host is refused")

    rows = scene.rows()
    assert {number: row["reason"] for number, row in rows.items()} == {
        first: "Signed",
        second: "HostNotAllowed",
    }
    assert "start the operator with --allow-host=whatsapp.example.com" in rows[second]["message"]


def test_a_signed_number_stays_signed_through_one_failing_check(scene: Scene) -> None:
    """A passing fault is no write, no event and no alert."""
    pod, other, _ = scene.simulator.pods.values()
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[pod.number]))
    scene.wait_ready()
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()
    pod.fail("read", faults.error(1011))

    # Another login has the number looked at by the operator's own decision.
    pod.password = other.password = "Another-Horse-8"
    scene.put_access("Another-Horse-8")
    pod.wait_until(lambda: pod.reads >= 2, what="the check that fails, and the one after it")
    scene.apply(scene.manifest("later", [other.number]))
    scene.wait_ready("later")

    assert scene.reason(pod.number) == "Signed"
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []
