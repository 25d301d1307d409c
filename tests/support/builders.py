"""Values to build a test on, each with defaults that make sense together: name only what the test is about."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from bek_operator.crd.parse import REQUESTED_AT, BusinessEncryptionKey, parse_object
from bek_operator.crd.reasons import SEVERITY, Reason, Severity
from bek_operator.crd.types import EntryRef, OnPremisesApi, SignatureStatus, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.url import Url, parse_url
from bek_operator.numbers.answers import Failure, Pace, Reading, Retry
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.numbers.endpoints import EgressPolicy, Missing
from bek_operator.numbers.facts import FailureStreak, NumberFacts, PublishRecord
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import Verdict
from bek_operator.secret_str import SecretStr
from bek_operator.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = 1_795_341_600.0
"""2026-11-22T10:00:00Z."""

NAMESPACE = "messaging"
NUMBER = "+15550001111"
OTHER_NUMBER = "+15550002222"
KEY_SECRET, LOGIN_SECRET = "flows-key", "whatsapp-admin"
TOKEN_SECRET, PROVIDER_SECRET = "meta-token", "bsp-keys"
PASSWORD = "open sesame"


def public_key(name: str = "ours") -> PublicKey:
    """Return a placeholder public key, another one for each name; nothing can be encrypted to it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return PublicKey(
        pem=f"-----BEGIN PUBLIC KEY-----\n{digest}\n-----END PUBLIC KEY-----\n", fingerprint=f"sha256:{digest}"
    )


def on_premises(name: str = "default", url: str = "https://whatsapp-{digits}", **more: Any) -> dict[str, Any]:
    """Return an entry of `spec.apis`; `more` are members of its `onPremises`."""
    return {
        "name": name,
        "type": "OnPremises",
        "onPremises": {"url": url, "credentialsSecretRef": {"name": LOGIN_SECRET}, **more},
    }


def cloud(name: str = "meta", **more: Any) -> dict[str, Any]:
    """Return an entry of `spec.apis` of type Cloud; `more` are members of its `cloud`."""
    return {"name": name, "type": "Cloud", "cloud": {"tokenSecretRef": {"name": TOKEN_SECRET, "key": "token"}, **more}}


def provider(name: str = "bsp", url: str = "https://bsp.example", key: str = "{digits}", **more: Any) -> dict[str, Any]:
    """Return an entry of `spec.apis` of type Provider, one API key for each number; `more` are further members."""
    member = {"url": url, "apiKeyHeader": "D360-API-KEY", "apiKeySecretRef": {"name": PROVIDER_SECRET, "key": key}}
    return {"name": name, "type": "Provider", "provider": {**member, **more}}


def identified(number: str, identity: str = "", api: str = "") -> dict[str, str]:
    """Return an entry of `spec.phoneNumbers`, by default with an id made from the number, and without an api."""
    entry = {"phoneNumber": number, "phoneNumberID": identity or f"10654{number[-8:]}"}
    return {**entry, "api": api} if api else entry


def spec_body(numbers: Sequence[str] = (NUMBER,), **more: Any) -> dict[str, Any]:
    """Return a spec as it is written; `more` are its members."""
    return {
        "keySecretRef": {"name": KEY_SECRET},
        "apis": [on_premises()],
        "phoneNumbers": [{"phoneNumber": number} for number in numbers],
        **more,
    }


def body(
    spec: Any = None,
    status: Any = None,
    *,
    name: str = "flows",
    namespace: str = NAMESPACE,
    generation: int = 1,
    request: str | None = None,
    created: float = NOW,
    **metadata: Any,
) -> dict[str, Any]:
    """Return an object as the API server returns it, with the schema's default of a status."""
    annotations = {} if request is None else {REQUESTED_AT: request}
    return deepcopy(
        {
            "apiVersion": "bek.dev/v1alpha1",
            "kind": "BusinessEncryptionKey",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-of-{namespace}-{name}",
                "resourceVersion": "1",
                "generation": generation,
                "creationTimestamp": rfc3339(created),
                "annotations": annotations,
                **metadata,
            },
            "spec": spec_body() if spec is None else spec,
            "status": {"observedGeneration": -1} if status is None else status,
        }
    )


def resource(spec: Any = None, status: Any = None, **more: Any) -> BusinessEncryptionKey:
    """Return an object as the operator reads it; the arguments are those of `body`."""
    return parse_object(body(spec, status, **more))


def spec_of(found: BusinessEncryptionKey) -> Spec:
    """Return the spec of an object whose spec is understood."""
    if not isinstance(found.spec, Spec):
        raise TypeError(found.spec.message)
    return found.spec


def api(name: str = "default", url: str = "https://whatsapp-{digits}", **more: Any) -> OnPremisesApi:
    """Return an entry of `apis` as the operator reads it."""
    return OnPremisesApi(name=name, url=url, credentials=EntryRef(secret=LOGIN_SECRET), **more)


def endpoint(number: str = NUMBER, password: str = PASSWORD) -> OnPremisesEndpoint:
    """Return the endpoint of a number: URL, trust and login."""
    host = f"whatsapp-{number[1:]}"
    return OnPremisesEndpoint(
        url=parse_url(f"https://{host}.{NAMESPACE}.svc"),
        trust=ServerTrust(ca_bundle=None, server_name=host, tenant=NAMESPACE),
        username="admin",
        password=SecretStr(password),
    )


def target(number: str = NUMBER, **more: Any) -> Target:
    """Return a target, by default with an endpoint of the number's own; `more` are members of it."""
    where: OnPremisesEndpoint | None = more.pop("endpoint", endpoint(number))
    members: dict[str, Any] = {
        "uid": f"uid-of-{NAMESPACE}-flows",
        "number": number,
        "api": api(),
        "address": str(where.url) if where else "",
        "endpoint": where,
        "problem": None,
        "key": public_key(),
        "publish": True,
        "interval": 600.0,
        **more,
    }
    return Target(**members)


_PUBLISHED = {"published_at": "at", "publishes": "count"} | {
    name: name for name in ("stable", "lost", "cause", "accepted", "refusal", "refused_at", "refusals", "recent")
}
_FAILING = {"failures": "count", "failing_since": "since", "limited": "limited"}
_READING = {"status": "status", "fingerprint": "fingerprint"}


def facts(aim: Target | None = None, **more: Any) -> NumberFacts:
    """Return what is known of a number that was not checked yet.

    `more` are members of it, or of its parts; `reason`, `message` and `needs_user` are what its row shows until more
    is known.
    """

    def part(names: Mapping[str, str]) -> dict[str, Any]:
        return {names[name]: more.pop(name) for name in names.keys() & more.keys()}

    parts: dict[str, Any] = {
        "reading": Reading(**{"status": None, "fingerprint": None, **part(_READING)}),
        "published": PublishRecord(**part(_PUBLISHED)),
        "failing": FailureStreak(**part(_FAILING)),
    }
    row = part({name: name for name in ("reason", "message", "needs_user")})
    if row:
        more["carried"] = verdict_of(**row)
    return NumberFacts(**{"target": aim or target(), **parts, **more})


def checked(aim: Target | None = None, **more: Any) -> NumberFacts:
    """Return what is known of a number that was just found to hold no key, unless `more` says something else."""
    aim = aim or target()
    members = {"carried": None, "observed": True, "read_at": NOW, "as_of": NOW, "due": NOW + aim.interval}
    return facts(aim, **{**members, **more})


def signed(aim: Target | None = None, **more: Any) -> NumberFacts:
    """Return what is known of a number that was just found to hold its target's key, VALID."""
    aim = aim or target()
    return checked(aim, **{"status": SignatureStatus.VALID, "fingerprint": aim.key.fingerprint, **more})


def verdict_of(reason: Reason = Reason.PENDING, message: str = "", *, needs_user: bool | None = None) -> Verdict:
    """Return the verdict that a reason is shown with; whether it needs the user goes by the reason, unless told."""
    severity, _ = SEVERITY[reason]
    if severity is Severity.USER_ACTION if needs_user is None else needs_user:
        return Verdict(reason, message, Retry.TERMINAL)
    return Verdict(reason, message, Retry.TRANSIENT if severity >= Severity.TRANSIENT else None)


def valid(key: PublicKey | None = None) -> Reading:
    """Return the answer that a number holds a key, by default ours, VALID."""
    return Reading(status=SignatureStatus.VALID, fingerprint=(key or public_key()).fingerprint)


def mismatch(key: PublicKey | None = None) -> Reading:
    """Return the answer that a number holds a key, by default none, with MISMATCH."""
    return Reading(status=SignatureStatus.MISMATCH, fingerprint=key.fingerprint if key else None)


def failure(reason: Reason = Reason.UNREACHABLE, message: str = "no answer", **more: Any) -> Failure:
    """Return a failed call, by default a transient one."""
    return Failure(reason=reason, message=message, **more)


UNREACHABLE = failure()
BUSY = failure(Reason.RATE_LIMITED, "too many requests", pace=Pace.SLOW)
BROKEN = failure(Reason.INVALID_ANSWER, "not this API's answer", retry=Retry.LIMITED)
DENIED = failure(Reason.ACCESS_DENIED, "access denied", retry=Retry.TERMINAL)
REJECTED = failure(Reason.KEY_REJECTED, "the API does not accept the key", retry=Retry.TERMINAL)
LOST_ANSWER = failure(Reason.UNREACHABLE, "no answer in time", unknown=True)


def secrets(**more: Mapping[str, bytes] | Missing) -> dict[str, Mapping[str, bytes] | Missing]:
    """Return the credential Secrets that the objects built here name; `more` are further Secrets."""
    return {LOGIN_SECRET: {"username": b"admin", "password": PASSWORD.encode()}, **more}


def egress(allow: str = "") -> EgressPolicy:
    """Return a policy that allows these hosts (comma-separated); its Cloud API does not exist."""
    hosts = AllowedHosts.parse(allow.split(",") if allow else ())
    return EgressPolicy(hosts=hosts, cloud=Url(host="graph.example.com", port=443, path=""))
