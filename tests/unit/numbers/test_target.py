"""Which key belongs where: targets, made from an object and the Secrets that it names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.numbers.endpoints import Missing
from bek_operator.numbers.target import targets_of
from support.builders import (
    LOGIN_SECRET,
    NUMBER,
    OTHER_NUMBER,
    PASSWORD,
    PROVIDER_SECRET,
    cloud,
    egress,
    endpoint,
    identified,
    on_premises,
    provider,
    public_key,
    resource,
    secrets,
    spec_body,
    spec_of,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bek_operator.numbers.target import Target


def targets(
    spec: dict[str, Any] | None = None,
    found: Mapping[str, Mapping[str, bytes] | Missing] | None = None,
    allow: str = "",
    claimed: Mapping[str, str] | None = None,
    **more: Any,
) -> tuple[Target, ...]:
    """Return the targets of an object with this spec; `more` are arguments of `resource`."""
    one = resource(spec, **more)
    found = secrets() if found is None else found
    return targets_of(one, spec_of(one), public_key(), found, egress(allow), claimed or {})


def with_url(url: str, **more: Any) -> dict[str, Any]:
    """Return a spec whose only API has this URL."""
    return spec_body(apis=[on_premises(url=url, **more)])


def called(aim: Target) -> OnPremisesEndpoint:
    """Return where a number is called, which it must be."""
    assert aim.problem is None
    assert isinstance(aim.endpoint, OnPremisesEndpoint)
    return aim.endpoint


def test_each_number_has_an_endpoint_of_its_own() -> None:
    """The digits of the number go into the URL, and the spec's order stays."""
    found = targets(spec_body([OTHER_NUMBER, NUMBER]), request="now")
    assert [aim.number for aim in found] == [OTHER_NUMBER, NUMBER]
    where = called(found[1])
    assert str(where.url) == found[1].address == "https://whatsapp-15550001111.messaging.svc"
    assert (where.username, where.password.reveal()) == ("admin", PASSWORD)
    assert (found[1].uid, found[1].key, found[1].request) == ("uid-of-messaging-flows", public_key(), "now")
    assert (found[1].publish, found[1].interval, found[1].limiter_key) == (True, 600.0, where.limiter_key)


def test_interval_and_policy_are_the_objects() -> None:
    """An interval that is given counts, and so does the policy never to publish."""
    [aim] = targets(spec_body(intervalSeconds=10, publishPolicy="Never"))
    assert (aim.interval, aim.publish) == (10.0, False)


def test_the_interval_is_that_of_the_api_where_none_is_given() -> None:
    """Ten minutes at a pod of one's own, an hour where calls are counted."""
    apis = [on_premises("pod"), cloud("meta"), provider("bsp", url="https://bsp.example")]
    listed = [identified(f"+1555000111{index}", api=api["name"]) for index, api in enumerate(apis)]
    assert [aim.interval for aim in targets(spec_body(apis=apis, phoneNumbers=listed))] == [600.0, 3600.0, 3600.0]
    given = spec_body(apis=apis, phoneNumbers=listed, intervalSeconds=60)
    assert {aim.interval for aim in targets(given)} == {60.0}


def test_each_type_is_found_by_its_own_address() -> None:
    """A number that is moved leads elsewhere, so nothing that was known of it holds there."""
    apis = [on_premises("pod"), cloud("meta"), provider("bsp", url="https://bsp.example")]
    found = [targets(spec_body(apis=apis, phoneNumbers=[identified(NUMBER, "7", one["name"])])) for one in apis]
    assert [aim.address for [aim] in found] == [
        f"https://whatsapp-{NUMBER[1:]}.messaging.svc",
        "phone number id 7",
        f"https://bsp.example {PROVIDER_SECRET}/{NUMBER[1:]}",
    ]


@pytest.mark.parametrize(
    ("url", "more", "name"),
    [
        pytest.param("https://whatsapp-web", {}, "whatsapp-web", id="the host as it was written"),
        pytest.param(
            "https://whatsapp-{digits}",
            {"tls": {"serverName": "whatsapp-web"}},
            "whatsapp-web",
            id="the name that is given",
        ),
    ],
)
def test_the_certificate_is_for_the_host_as_written_or_for_the_name_given(
    url: str, more: dict[str, Any], name: str
) -> None:
    """A Service is called by its long name, but its certificate knows only what people write."""
    [aim] = targets(with_url(url, **more))
    assert called(aim).trust.server_name == name


def test_authorities_are_those_of_the_secret() -> None:
    """The entry that is named holds the CAs to trust, otherwise it is the system's."""
    spec = with_url("https://whatsapp-web", tls={"caSecretRef": {"name": "ca", "key": "ca.crt"}})
    [aim] = targets(spec, secrets(ca={"ca.crt": b"-----BEGIN CERTIFICATE-----"}))
    assert called(aim).trust.ca_bundle == "-----BEGIN CERTIFICATE-----"
    [aim] = targets()
    assert called(aim).trust.ca_bundle is None


def test_newlines_that_an_editor_leaves_are_not_part_of_a_password() -> None:
    """A line end at the end of an entry goes, one within it stays."""
    [aim] = targets(found={LOGIN_SECRET: {"username": b"admin\n", "password": b"a\nb\r\n"}})
    assert (called(aim).username, called(aim).password.reveal()) == ("admin", "a\nb")


def login(**entries: bytes) -> dict[str, Mapping[str, bytes] | Missing]:
    """Return the Secrets with other entries for the login."""
    return secrets(**{LOGIN_SECRET: {"username": b"admin", "password": b"secret", **entries}})


CA = with_url("https://whatsapp-web", tls={"caSecretRef": {"name": "ca", "key": "ca.crt"}})
ABSENT, FORBIDDEN, TOO_MUCH = Missing
CLOUD = spec_body(apis=[{"name": "meta", "type": "Carrier"}])

PROBLEMS: dict[str, tuple[dict[str, Any] | None, Mapping[str, Mapping[str, bytes] | Missing], Reason, Retry, str]] = {
    "another type": (CLOUD, secrets(), Reason.UNSUPPORTED, Retry.TERMINAL, "type Carrier"),
    "no Secret": (
        None,
        {},
        Reason.CREDENTIALS_NOT_FOUND,
        Retry.TRANSIENT,
        f"Secret {LOGIN_SECRET} does not exist",
    ),
    "a Secret that is gone": (
        None,
        {LOGIN_SECRET: ABSENT},
        Reason.CREDENTIALS_NOT_FOUND,
        Retry.TRANSIENT,
        "does not exist",
    ),
    "a Secret out of reach": (
        None,
        {LOGIN_SECRET: FORBIDDEN},
        Reason.CREDENTIALS_NOT_FOUND,
        Retry.TRANSIENT,
        "RBAC forbids the operator to get it",
    ),
    "a Secret that there is no memory for": (
        None,
        {LOGIN_SECRET: TOO_MUCH},
        Reason.INVALID_CREDENTIALS,
        Retry.TERMINAL,
        (
            "the credentials and CA bundles of this object and of older ones in the namespace take more than 16 MiB; "
            "name fewer or smaller ones"
        ),
    ),
    "no entry": (None, {LOGIN_SECRET: {}}, Reason.CREDENTIALS_NOT_FOUND, Retry.TRANSIENT, "entry username of Secret"),
    "no CA": (
        CA,
        secrets(ca=ABSENT),
        Reason.CREDENTIALS_NOT_FOUND,
        Retry.TRANSIENT,
        "Secret ca does not exist",
    ),
    "an empty password": (None, login(password=b"\n"), Reason.INVALID_CREDENTIALS, Retry.TERMINAL, "is empty"),
    "a password that is no text": (None, login(password=b"\xff"), Reason.INVALID_CREDENTIALS, Retry.TERMINAL, "UTF-8"),
    "a colon": (None, login(username=b"a:b"), Reason.INVALID_CREDENTIALS, Retry.TERMINAL, "must not contain a colon"),
    "a huge password": (None, login(password=b"x" * 1025), Reason.INVALID_CREDENTIALS, Retry.TERMINAL, "longer than"),
    "a huge CA": (CA, secrets(ca={"ca.crt": b"x" * 65537}), Reason.INVALID_CREDENTIALS, Retry.TERMINAL, "longer than"),
    "a URL that is none": (with_url("http://web"), secrets(), Reason.HOST_NOT_ALLOWED, Retry.TERMINAL, "not a valid"),
    "a host elsewhere": (
        with_url("https://a.example"),
        secrets(),
        Reason.HOST_NOT_ALLOWED,
        Retry.TERMINAL,
        "a.example",
    ),
    "another port": (with_url("https://web:9090"), secrets(), Reason.HOST_NOT_ALLOWED, Retry.TERMINAL, "--allow-host"),
    "another namespace": (
        with_url("https://web.other.svc"),
        secrets(),
        Reason.HOST_NOT_ALLOWED,
        Retry.TERMINAL,
        "other",
    ),
}


@pytest.mark.parametrize(("spec", "found", "reason", "retry", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_keeps_a_number_from_being_called_is_told(
    spec: dict[str, Any] | None,
    found: Mapping[str, Mapping[str, bytes] | Missing],
    reason: Reason,
    retry: Retry,
    message: str,
) -> None:
    """Each problem has its reason, says whether time heals it, and leaves nobody to call."""
    [aim] = targets(spec, found)
    assert (aim.endpoint, aim.limiter_key) == (None, "")
    assert aim.problem is not None
    assert (aim.problem.reason, aim.problem.retry) == (reason, retry)
    assert message in aim.problem.message


def test_hosts_that_the_operator_allows_are_called() -> None:
    """What `--allow-host` names may be called, wherever it is."""
    [aim] = targets(with_url("https://a.example:8443/{digits}"), allow="a.example:8443")
    assert str(called(aim).url) == f"https://a.example:8443/{NUMBER[1:]}"


def test_a_number_that_somebody_else_manages_is_not_called() -> None:
    """A lost claim goes before everything else that may be wrong, and the other numbers stay as they are."""
    found = targets(spec_body([NUMBER, OTHER_NUMBER]), claimed={NUMBER: "is managed by another"})
    assert found[0].endpoint is None
    assert found[0].problem is not None
    assert (found[0].problem.reason, found[0].problem.message) == (Reason.DUPLICATE_NUMBER, "is managed by another")
    assert called(found[1]).limiter_key


def at_provider(numbers: list[str], keys: dict[str, bytes], **more: Any) -> tuple[Target, ...]:
    """Return the targets of numbers at a provider whose Secret holds these keys."""
    listed = [identified(number) for number in numbers]
    spec = spec_body(apis=[provider(url="https://bsp.example", **more)], phoneNumbers=listed)
    return targets(spec, {PROVIDER_SECRET: keys}, "bsp.example")


def test_an_api_key_that_was_copied_twice_is_the_lowest_numbers() -> None:
    """Under whatever entries it is: the others would be answered for by that number, and never be asked themselves."""
    third = "+15550003333"
    keys = {NUMBER[1:]: b"one\n", OTHER_NUMBER[1:]: b"one", third[1:]: b"three"}
    other, lowest, own = at_provider([OTHER_NUMBER, NUMBER, third], keys)
    assert (lowest.problem, own.problem) == (None, None)
    assert (other.endpoint, other.limiter_key) == (None, "")
    assert other.problem is not None
    assert (other.problem.reason, other.problem.retry) == (Reason.DUPLICATE_NUMBER, Retry.TERMINAL)
    assert other.problem.message == f"same API key as {NUMBER}; each number needs an API key of its own"


def test_one_api_key_will_do_where_the_address_tells_numbers_apart() -> None:
    """A provider may know whose number it is by the path."""
    keys = {NUMBER[1:]: b"one", OTHER_NUMBER[1:]: b"one"}
    for url in ("https://bsp.example/{digits}", "https://n{digits}.bsp.example", "https://bsp.example/{phoneNumberID}"):
        listed = [identified(NUMBER), identified(OTHER_NUMBER)]
        spec = spec_body(apis=[provider(url=url)], phoneNumbers=listed)
        found = targets(spec, {PROVIDER_SECRET: keys}, "*.example,bsp.example")
        assert [aim.problem for aim in found] == [None, None]


def test_who_has_no_endpoint_stands_in_nobodys_way() -> None:
    """A number whose key is still missing has nothing in common with another."""
    missing, there = at_provider([NUMBER, OTHER_NUMBER], {OTHER_NUMBER[1:]: b"one"})
    assert missing.problem is not None
    assert missing.problem.reason is Reason.CREDENTIALS_NOT_FOUND
    assert there.problem is None


def test_a_key_that_another_object_has_is_not_used_under_another_entry() -> None:
    """Where the lower number is managed elsewhere, whoever has the same key leads there, too."""
    listed = [identified(NUMBER), identified(OTHER_NUMBER)]
    spec = spec_body(apis=[provider(url="https://bsp.example")], phoneNumbers=listed)
    keys = {NUMBER[1:]: b"one", OTHER_NUMBER[1:]: b"one"}
    one, other = targets(spec, {PROVIDER_SECRET: keys}, "bsp.example", claimed={NUMBER: "is managed by another"})
    assert one.problem is not None
    assert other.problem is not None
    assert one.problem.message == "is managed by another"
    assert other.problem.reason is Reason.DUPLICATE_NUMBER


def test_one_pod_for_two_numbers_is_the_lower_ones() -> None:
    """The same holds at any other API, though the claims tell of it first."""
    other, lowest = targets(spec_body([OTHER_NUMBER, NUMBER], apis=[on_premises(url="https://whatsapp-web")]))
    assert lowest.problem is None
    assert other.problem is not None
    assert other.problem.message == f"same endpoint as {NUMBER} of this object; remove one of them"


def test_secrets_that_are_the_same_make_the_same_target() -> None:
    """Nothing is different about a Secret that was only touched; a new password is another target."""
    assert targets() == targets()
    assert targets(found=login(password=b"new")) != targets()


def test_what_is_built_for_tests_is_like_the_real_thing() -> None:
    """The builders' target is what the model makes of the builders' object."""
    [aim] = targets()
    where = replace(endpoint(), source=called(aim).source)
    assert aim == target(endpoint=where)
