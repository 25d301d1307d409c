"""Numbers on the Cloud API and at a provider, beside numbers On-Premises: one object, one Secret, one status."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from support import keys
from support.cluster.scene import Scene, conditions, secret
from support.simulators import faults
from support.simulators.business import APP_SECRET, TOKEN_SECRET, Business, provider_api, provider_secrets
from support.simulators.cloud_number import CloudNumber
from support.simulators.graph_errors import graph_error
from support.simulators.provider import Provider

ON_PREMISES_PATHS = {"/v1/users/login", "/v1/settings/business/whatsapp_business_encryption"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Provide a provider with two numbers, which has one API key for each."""
    with Provider(["+15570000001", "+15570000002"]) as running:
        yield running


@pytest.fixture
def numbers(business: Business) -> list[CloudNumber]:
    """Provide three numbers of the business on the Cloud API, lowest first."""
    return [business.add() for _ in range(3)]


def on_cloud(scene: Scene, business: Business, name: str = "flows", **spec: Any) -> dict[str, Any]:
    """Return an object for the business's numbers alone."""
    return scene.manifest(name, **{"apis": [business.api()], "phoneNumbers": business.listed(), **spec})


def key_secret(pair: keys.KeyPair, name: str = "flows-key") -> dict[str, Any]:
    """Return the Secret with a key."""
    return secret(name, {"private.pem": pair.private})


def start(scene: Scene, business: Business, **spec: Any) -> None:
    """Sign the business's numbers with the first key, and forget the calls."""
    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business, **spec))
    scene.wait_ready()
    for number in business.numbers:
        number.forget_requests()


def ready_reason(scene: Scene, name: str = "flows") -> tuple[str, str]:
    """Return the reason of an object's Ready condition and the abnormal condition beside it."""
    found = conditions(scene.get(name))
    beside = [kind for kind in found if kind != "Ready"]
    return found.get("Ready", {}).get("reason", ""), " ".join(beside)


def wait_for_reason(scene: Scene, reason: str, beside: str, name: str = "flows") -> None:
    """Wait until Ready has this reason, with this abnormal condition."""
    scene.wait_for(lambda: ready_reason(scene, name) == (reason, beside), f"{reason} is reported")


def is_signed(scene: Scene, pair: keys.KeyPair) -> bool:
    """Return whether the status says that every number is signed with this very key."""
    return scene.ready()[0] == "True" and bool(scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint)


def reasons(scene: Scene, name: str = "flows") -> list[str]:
    """Return the reasons of an object's rows, in their order."""
    return [row["reason"] for row in scene.rows(name).values()]


def message(scene: Scene, number: str, name: str = "flows") -> str:
    """Return the message of a number's row, empty without one."""
    return str(scene.rows(name)[number].get("message", ""))


def test_one_object_has_numbers_on_every_api(scene: Scene, business: Business, provider: Provider) -> None:
    """On-Premises, Cloud and provider numbers become READY; every API sees what it documents and nothing else."""
    on_premises = list(scene.simulator.pods.values())
    at_meta, at_provider = [business.add(), business.add()], list(provider.numbers.values())
    listed = [
        *({"phoneNumber": pod.number} for pod in on_premises),
        *business.listed(),
        *({"phoneNumber": number.number, "api": "bsp"} for number in at_provider),
    ]
    manifest = scene.manifest(apis=[scene.api(), business.api(), provider_api(provider)], phoneNumbers=listed)

    scene.apply(key_secret(keys.rsa()), *business.secrets(), *provider_secrets(provider), manifest)
    scene.wait_ready()

    everywhere = [*on_premises, *at_meta, *at_provider]
    assert all(number.holds(keys.rsa().public) for number in everywhere)
    assert scene.get()["status"]["signed"] == "7/7"
    assert [row["api"] for row in scene.rows().values()] == ["default"] * 3 + ["meta"] * 2 + ["bsp"] * 2
    for pod in on_premises:
        assert [record.kind for record in pod.requests] == ["login", "read", "publish", "read"]
        assert {record.path for record in pod.requests} == ON_PREMISES_PATHS
    paths = {one.number: f"/v25.0/{one.id}" for one in at_meta} | {one.number: "" for one in at_provider}
    for number in (*at_meta, *at_provider):
        path = f"{paths[number.number]}/whatsapp_business_encryption"
        assert [(record.kind, record.path) for record in number.requests] == [
            (kind, path) for kind in ("read", "publish", "read")
        ]
        assert [record.encoding for record in number.requests] == ["", "form", ""]
        assert {record.parameters for record in number.requests} == {()}
        assert all(record.authorised and not record.cookies for record in number.requests)
    assert scene.simulator.strays == business.strays(business.token) == provider.strays == []
    assert provider.oddities == scene.simulator.violations == provider.violations == []


def test_a_renewed_token_is_picked_up(scene: Scene, business: Business, numbers: list[CloudNumber]) -> None:
    """After the Secret has changed every number is looked at with the new token, and nothing else happens."""
    start(scene, business)
    before, mark = scene.get()["status"], scene.api_server.audit_mark()

    renewed = business.replace_token()
    scene.apply(*business.secrets())
    scene.wait_for(lambda: all(number.reads for number in numbers), "every number is looked at")
    scene.check()

    assert {record.token for number in numbers for record in number.requests} == {renewed.name}
    assert [number.publishes for number in numbers] == [0, 0, 0]
    assert scene.get()["status"]["conditions"] == before["conditions"]
    # What the check clears, and its echo.
    assert len([one for one in scene.writes(mark) if one.name == "flows"]) <= 2


def test_an_edit_of_a_tokens_metadata_changes_nothing(scene: Scene, business: Business) -> None:
    """A label on the Secrets of the Cloud API leads to no call and to no write."""
    number, later = business.add(), business.add()
    start(scene, business, apis=[business.api(proof=True)], phoneNumbers=business.listed([number]))
    mark = scene.api_server.audit_mark()

    scene.kubectl("label", "secret", "--all", "team=payments")
    scene.apply(on_cloud(scene, business, "later", phoneNumbers=business.listed([later])))
    scene.wait_ready("later")

    assert number.requests == []
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []


def test_an_expired_token_is_reported_and_heals_with_its_secret(
    scene: Scene, business: Business, numbers: list[CloudNumber]
) -> None:
    """The message says how to renew it, the rows keep what was known, and the renewed token needs no edit."""
    start(scene, business)

    business.token.expire()
    scene.check()
    wait_for_reason(scene, "TokenExpired", "Stalled")
    body = scene.get()

    assert body["status"]["signed"] == "0/3"
    assert {row["signatureStatus"] for row in body["status"]["phoneNumbers"]} == {"VALID"}
    error = conditions(body)["Stalled"]["message"]
    assert "3 of 3 numbers: the access token has expired; generate another one for the system user" in error
    assert f"put it into entry token of Secret {TOKEN_SECRET}" in error
    assert "(code 190/463)" in error

    business.replace_token()
    scene.apply(*business.secrets())
    scene.wait_ready()
    assert [number.publishes for number in numbers] == [0, 0, 0]


def test_what_a_token_may_not_do_is_reported(scene: Scene, business: Business, numbers: list[CloudNumber]) -> None:
    """A missing permission and a business account that is not assigned have a message that says what to grant."""
    business.replace_token(permissions=set())
    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business))
    wait_for_reason(scene, "AccessDenied", "Stalled")
    permission = message(scene, numbers[0].number)

    granted = business.replace_token()
    granted.wabas = set()
    scene.apply(*business.secrets())
    scene.wait_for(lambda: message(scene, numbers[0].number) != permission, "the other cause is reported")
    wait_for_reason(scene, "AccessDenied", "Stalled")
    asset = message(scene, numbers[0].number)

    granted.wabas = None
    scene.check()
    scene.wait_ready()

    assert "lacks the permission whatsapp_business_messaging" in permission
    assert "assign the number's business account to its system user (code 200/1349174)" in asset
    assert [number.publishes for number in numbers] == [1, 1, 1]


STATES: Mapping[str, tuple[Callable[[CloudNumber], object], str, str]] = {
    "deleted": (lambda one: setattr(one, "deleted", True), "NumberUnknown", "it must be a phone number id"),
    "not registered": (lambda one: setattr(one, "registered", False), "NotRegistered", "; register it"),
    "not eligible": (lambda one: setattr(one, "eligible", False), "NotEligible", "ask Meta's support why"),
    "in maintenance": (lambda one: setattr(one, "maintenance", True), "Maintenance", "under maintenance"),
    "key refused": (
        lambda one: one.fail("publish", graph_error(100), None),
        "KeyRejected",
        "must be RSA with 2048 bits",
    ),
    "locked": (lambda one: one.fail("any", graph_error(131031), None), "AccessDenied", "ask Meta's Business Support"),
    "no signature computed": (
        lambda one: one.fail("any", graph_error(131000), None),
        "ServiceNotReady",
        "the trace in the operator's log (code 131000)",
    ),
    "a redirect": (
        lambda one: one.fail("any", faults.redirect("/"), None),
        "InvalidAnswer",
        "redirects are not followed",
    ),
    "a page": (lambda one: one.fail("any", faults.page(), None), "InvalidAnswer", "is not from the WhatsApp API"),
    "all is well": (lambda _: None, "Signed", ""),
}


def test_what_numbers_suffer_from_is_reported_one_by_one(scene: Scene, business: Business) -> None:
    """Each number of an object has its own reason and words, nothing is published on a guess, and all of it heals."""
    for state, *_ in STATES.values():
        state(business.add())
    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business))
    scene.wait_for(lambda: "Stalled" in conditions(scene.get()), "every number is looked at")
    seen = dict(zip(STATES, scene.rows().values(), strict=True))

    assert {name: row["reason"] for name, row in seen.items()} == {
        name: reason for name, (_, reason, _) in STATES.items()
    }
    error = {name: row.get("message", "") for name, row in seen.items()}
    assert {name: message for name, message in error.items() if STATES[name][2] not in message} == {}
    published = {name for name, one in zip(STATES, business.numbers, strict=True) if one.publishes}
    assert published == {"key refused", "all is well"}

    for number in business.numbers:
        number.deleted, number.registered, number.eligible, number.maintenance = False, True, True, False
        number.heal()
    scene.check()
    scene.wait_ready()
    assert all(number.holds(keys.rsa().public) for number in business.numbers)


@pytest.mark.parametrize("unknown", ["803", "100/33"])
def test_an_id_that_is_no_numbers_is_reported(scene: Scene, business: Business, unknown: str) -> None:
    """Whichever way the API says it, the row tells to check the id, and its correction heals the object."""
    business.cloud.unknown = "803" if unknown == "803" else "100/33"
    number = business.add()
    wrong = [{**business.listed()[0], "phoneNumberID": "102290129340398" if unknown == "803" else "5"}]

    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business, phoneNumbers=wrong))
    wait_for_reason(scene, "NumberUnknown", "Stalled")
    assert "it must be a phone number id, not a phone number or the id of a business account" in message(
        scene, number.number
    )

    scene.change(phoneNumbers=business.listed())
    scene.wait_ready()
    assert number.publishes == 1


def test_a_version_that_has_ended_is_reported(scene: Scene, business: Business) -> None:
    """The row tells to set another version, and doing so heals the object."""
    number = business.add()
    old = business.api()
    old["cloud"]["version"] = "v20.0"

    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business, apis=[old]))
    wait_for_reason(scene, "Unsupported", "Stalled")
    assert "set `version` to a supported one" in message(scene, number.number)

    scene.change(apis=[business.api()])
    scene.wait_ready()


def test_an_app_that_demands_a_proof_gets_one(scene: Scene, business: Business, numbers: list[CloudNumber]) -> None:
    """Without `appSecretRef` the message says what to do; with it every call has the proof, and no wrong one."""
    business.app.demands_proof = True
    scene.apply(key_secret(keys.rsa()), *business.secrets("ab" * 16), on_cloud(scene, business))
    wait_for_reason(scene, "AppSecretProofRequired", "Stalled")
    required = message(scene, numbers[0].number)

    scene.change(apis=[business.api(proof=True)])
    wait_for_reason(scene, "AccessDenied", "Stalled")
    wrong = message(scene, numbers[0].number)

    scene.apply(*business.secrets())
    scene.wait_ready()

    assert "set appSecretRef to a Secret with the app secret" in required
    assert "check the Secret of appSecretRef" in wrong
    assert [number.publishes for number in numbers] == [1, 1, 1]
    last = numbers[0].requests[-1]
    assert (last.kind, last.parameters) == ("read", ("appsecret_proof",))


def test_a_limit_holds_up_nothing_but_its_token(scene: Scene, business: Business) -> None:
    """A number beyond the limit says so, those with the same token wait with it as long as asked, others do not."""
    limited, added = business.add(), business.add()
    pod = next(iter(scene.simulator.pods.values()))
    limited.fail("read", graph_error(80007, retry_after="10"))
    manifest = on_cloud(scene, business, apis=[scene.api(), business.api()], phoneNumbers=business.listed([limited]))
    scene.apply(key_secret(keys.rsa()), *business.secrets(), manifest)
    wait_for_reason(scene, "RateLimited", "Reconciling")
    error = message(scene, limited.number)

    manifest["spec"]["phoneNumbers"] = [{"phoneNumber": pod.number, "api": "default"}, *business.listed()]
    manifest["metadata"]["annotations"] = {"bek.dev/requested-at": "now"}
    scene.apply(manifest)
    scene.wait_ready()

    assert "(code 80007)" in error
    refused, again, *_ = limited.requests
    assert again.at - refused.at >= 10
    assert added.requests[0].at - refused.at >= 10
    assert pod.requests[0].at < added.requests[0].at


def test_a_token_is_never_used_up(scene: Scene, business: Business) -> None:
    """The operator stops short of the limit that the headers report: no call is refused, and the user need not act."""
    limit = business.cloud.limit(200)
    for _ in range(100):
        business.add()

    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business))
    scene.wait_for(lambda: scene.get()["status"].get("signedNumbers", 0) >= 50, "half of them are signed")
    scene.apply(scene.manifest("later"))
    scene.wait_ready("later")

    assert limit.refused == 0
    assert sum(len(number.requests) for number in business.numbers) <= 200
    assert ready_reason(scene) == ("Progressing", "Reconciling")


def test_a_number_moves_to_the_cloud_and_back(scene: Scene, business: Business) -> None:
    """Its entry names the other API; the status says what is still to do, and the API that is left hears nothing."""
    pod, stays, _ = scene.simulator.pods.values()
    number = business.add(pod.number)
    number.registered = False
    here = {"phoneNumber": pod.number, "phoneNumberID": number.id, "api": "default"}
    there = {**here, "api": "meta"}
    rest = {"phoneNumber": stays.number, "api": "default"}
    manifest = scene.manifest(apis=[scene.api(), business.api()], phoneNumbers=[here, rest])
    scene.apply(key_secret(keys.rsa()), *business.secrets(), manifest)
    scene.wait_ready()
    for one in (pod, stays):
        one.forget_requests()

    scene.change(phoneNumbers=[there, rest])
    wait_for_reason(scene, "NotRegistered", "Stalled")
    moving = scene.rows()
    number.re_register()
    scene.check()
    scene.wait_ready()
    on_cloud = scene.rows()[number.number]

    assert "the number is not registered with the Cloud API; register it" in moving[number.number]["message"]
    assert "signatureStatus" not in moving[number.number]
    assert moving[stays.number]["reason"] == "Signed"
    assert (on_cloud["api"], on_cloud["publishes"], number.publishes) == ("meta", 1, 1)
    assert pod.requests == []
    assert stays.publishes == 0

    pod.re_register()
    number.forget_requests()
    scene.change(phoneNumbers=[here, rest])
    scene.wait_ready()

    assert pod.holds(keys.rsa().public)
    assert (scene.rows()[pod.number]["api"], pod.publishes) == ("default", 1)
    assert number.requests == []


def test_two_objects_that_claim_one_id_do_not_fight(scene: Scene, business: Business) -> None:
    """The younger object says who has the number, whatever it is called there and whichever token it has."""
    number = business.add()
    other = {"phoneNumber": "+16700000001", "api": "meta", "phoneNumberID": number.id}
    younger = on_cloud(
        scene,
        business,
        "b-younger",
        keySecretRef={"name": "younger-key"},
        phoneNumbers=[other],
        apis=[business.api(token_secret="younger-token")],
    )
    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business, "a-older"))
    scene.wait_ready("a-older")

    token = secret("younger-token", {"token": business.replace_token().text})
    scene.apply(key_secret(keys.rsa("second"), "younger-key"), token, younger)
    wait_for_reason(scene, "DuplicateNumber", "Stalled", "b-younger")

    error = message(scene, other["phoneNumber"], "b-younger")
    assert error == "managed by the older BusinessEncryptionKey a-older; remove the number from one of them"
    assert number.published == [keys.rsa().fingerprint]


def test_the_trace_of_a_lasting_failure_is_in_the_log(scene: Scene, business: Business) -> None:
    """The trace id for Meta's support is in the operator's log, with the error code."""
    number = business.add()
    number.fail("read", graph_error(133010))

    scene.apply(key_secret(keys.rsa()), *business.secrets(), on_cloud(scene, business))
    wait_for_reason(scene, "NotRegistered", "Stalled")

    (record,) = number.requests
    (line,) = [line for line in scene.log_text().splitlines() if record.trace in line]
    assert "WARNING" in line
    assert "code=133010" in line
    assert record.trace not in scene.kubectl("get", "bek,events", "--output=yaml")


def test_neither_secrets_nor_remote_text_can_be_found_anywhere(
    scene: Scene, business: Business, provider: Provider
) -> None:
    """Tokens, API keys, app secrets and proofs are in no status, event or log, even if an API echoes them."""
    number, at_provider = business.add(), provider["+15570000001"]
    first = business.token
    listed = [*business.listed(), {"phoneNumber": at_provider.number, "api": "bsp"}]
    api_key = provider.key(at_provider.number)
    remote = "CanaryRemoteText4711"
    echo = f"{remote} {first.text} {first.proof} {business.app.secret} {api_key}"
    number.fail("read", graph_error(1, echo, details=echo, error_user_msg=echo, error_user_title=echo), None)
    at_provider.fail("any", graph_error(100, echo, fbtrace_id=echo), None)

    manifest = on_cloud(scene, business, apis=[business.api(proof=True), provider_api(provider)], phoneNumbers=listed)
    scene.apply(key_secret(keys.rsa()), *business.secrets(), *provider_secrets(provider), manifest)
    wait_for_reason(scene, "NumberUnknown", "Stalled")
    first.expire()
    number.heal()
    at_provider.heal()
    renewed_key = provider.replace_key(at_provider.number)
    scene.check()
    wait_for_reason(scene, "TokenExpired", "Stalled")
    second = business.replace_token()
    scene.apply(*business.secrets(), *provider_secrets(provider))
    scene.wait_ready()

    shown = {
        "object": scene.kubectl("get", "bek", "--output=yaml"),
        "events": scene.kubectl("get", "events", "--output=yaml"),
        "log": scene.log_text(),
    }
    canaries = [remote, api_key, renewed_key, business.app.secret, "EAAG", "Bearer ", "BEGIN"]
    for token in (first, second):
        canaries += [token.text, token.proof]
    for canary in canaries:
        assert [place for place, text in shown.items() if canary in text] == []


def test_a_token_that_is_not_there_yet_is_waited_for(scene: Scene, business: Business) -> None:
    """The token, the app's secret and the provider's API key may come after the object; each is named."""
    number = business.add()
    manifest = on_cloud(scene, business, apis=[business.api(proof=True)])
    token, app_secret = business.secrets()

    scene.apply(key_secret(keys.rsa()), manifest)
    wait_for_reason(scene, "CredentialsNotFound", "Reconciling")
    assert f"Secret {TOKEN_SECRET} does not exist" in message(scene, number.number)

    scene.apply(token)
    scene.wait_for(lambda: APP_SECRET in message(scene, number.number), "the next one is named")
    scene.apply(app_secret)
    scene.wait_ready()
