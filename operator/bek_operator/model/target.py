"""Targets: for each number of an object, which key belongs where; made from the spec and the Secrets it names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bek_operator.model.answers import Cure, Failure
from bek_operator.model.endpoint import Endpoint, OnPremisesEndpoint, Trust, Url
from bek_operator.model.hidden import Hidden
from bek_operator.model.hosts import AllowedHosts, parse_url, qualify
from bek_operator.model.key import PublicKey
from bek_operator.model.reasons import Reason
from bek_operator.model.spec import Api, EntryRef, Number, Resource, Spec, UnsupportedApi

Secrets = Mapping[str, Mapping[str, bytes] | None]
"""The decoded data of each Secret by name; `None` for one that does not exist."""

ON_PREMISES_INTERVAL = 600.0
_LONGEST_CREDENTIAL = 1024
_LONGEST_AUTHORITIES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which key belongs on one number, and where that is said.

    Attributes:
        uid: Of the object; a re-created one of the same name is another.
        api: The entry of `spec.apis` as written: what a person can change.
        address: What makes two entries lead to the same number; empty where there is no telling.
        endpoint: Where to call, unless there is a `problem`.
        problem: Why nobody can be called.
        publish: Whether a missing key may be published, or only reported.
        interval: Seconds between two checks.
        request: The `requested-at` that asks for a check.
    """

    uid: str
    number: str
    api: Api
    address: str
    endpoint: Endpoint | None
    problem: Failure | None
    key: PublicKey
    publish: bool
    interval: float
    request: str = ""

    @property
    def lane(self) -> str:
        """Return what shares a limit with it; nothing does without an endpoint."""
        return self.endpoint.lane if self.endpoint else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Access:
    """How an entry of `apis` is called, with what its Secrets hold; the same for all its numbers."""

    username: str = field(repr=False)
    password: Hidden
    authorities: str | None
    server_name: str | None


class _Problem(Exception):
    def __init__(self, reason: Reason, message: str, cure: Cure = Cure.PERSON) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message, cure=cure)


def targets_of(
    resource: Resource,
    spec: Spec,
    key: PublicKey,
    secrets: Secrets,
    hosts: AllowedHosts,
    claimed: Mapping[str, str],
) -> tuple[Target, ...]:
    """Make the target of every number of an object, in the spec's order.

    `claimed` tells for each number that somebody else manages who that is.
    """
    accesses = {api: _access(api, secrets) for api in {number.api for number in spec.numbers}}
    return tuple(
        _target(resource, spec, key, number, accesses[number.api], hosts, claimed.get(number.number))
        for number in spec.numbers
    )


def _target(
    resource: Resource,
    spec: Spec,
    key: PublicKey,
    number: Number,
    access: _Access | Failure,
    hosts: AllowedHosts,
    claimed: str | None,
) -> Target:
    namespace = resource.ref.namespace
    address = address_of(number, namespace)
    found: Endpoint | Failure
    if claimed:
        found = Failure(reason=Reason.DUPLICATE_NUMBER, message=claimed, cure=Cure.PERSON)
    elif isinstance(access, Failure):
        found = access
    else:
        found = _endpoint(number.api.name, access, address, namespace, hosts)
    return Target(
        uid=resource.uid,
        number=number.number,
        api=number.api,
        address=str(address[0]) if address else "",
        endpoint=None if isinstance(found, Failure) else found,
        problem=found if isinstance(found, Failure) else None,
        key=key,
        publish=spec.publish,
        interval=float(spec.interval or ON_PREMISES_INTERVAL),
        request=resource.request,
    )


def address_of(number: Number, namespace: str) -> tuple[Url, str] | None:
    """Return where a number's API is and the host as it was written; `None` where nobody can be called."""
    if isinstance(number.api, UnsupportedApi):
        return None
    try:
        url = parse_url(number.api.url.replace("{digits}", number.digits))
    except ValueError:
        return None
    return replace(url, host=qualify(url.host, namespace)), url.host


def _endpoint(
    api: str, access: _Access, address: tuple[Url, str] | None, namespace: str, hosts: AllowedHosts
) -> Endpoint | Failure:
    if address is None:
        message = f"`url` of api {api} is not a usable https URL"
        return Failure(reason=Reason.HOST_NOT_ALLOWED, message=message, cure=Cure.PERSON)
    url, written = address
    if not hosts.allows(url, namespace):
        return Failure(reason=Reason.HOST_NOT_ALLOWED, message=hosts.refusal(url), cure=Cure.PERSON)
    return OnPremisesEndpoint(
        url=url,
        trust=Trust(authorities=access.authorities, server_name=access.server_name or written),
        username=access.username,
        password=access.password,
    )


def _access(api: Api, secrets: Secrets) -> _Access | Failure:
    try:
        return _look_up(api, secrets)
    except _Problem as problem:
        return problem.failure


def _look_up(api: Api, secrets: Secrets) -> _Access:
    if isinstance(api, UnsupportedApi):
        raise _Problem(Reason.UNSUPPORTED, f"this version of the operator does not serve apis of type {api.type}")
    login = replace(api.credentials, entry="username")
    username = _text(login, secrets, _LONGEST_CREDENTIAL)
    password = _text(replace(login, entry="password"), secrets, _LONGEST_CREDENTIAL)
    if ":" in username:
        raise _Problem(
            Reason.INVALID_CREDENTIALS, f"{_named(login)} must not contain a colon (it is sent as Basic login)"
        )
    authorities = _text(api.authorities, secrets, _LONGEST_AUTHORITIES) if api.authorities else None
    return _Access(username=username, password=Hidden(password), authorities=authorities, server_name=api.server_name)


def _text(ref: EntryRef, secrets: Secrets, longest: int) -> str:
    data = secrets.get(ref.secret)
    if data is None:
        raise _Problem(Reason.CREDENTIALS_NOT_FOUND, f"Secret {ref.secret} does not exist (yet)", Cure.TIME)
    raw = data.get(ref.entry or "")
    if raw is None:
        raise _Problem(Reason.CREDENTIALS_NOT_FOUND, f"{_named(ref)} does not exist (yet)", Cure.TIME)
    if len(raw) > longest:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is longer than {longest} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is not UTF-8 text") from None
    if not text:
        raise _Problem(Reason.INVALID_CREDENTIALS, f"{_named(ref)} is empty")
    return text


def _named(ref: EntryRef) -> str:
    return f"entry {ref.entry} of Secret {ref.secret}"
