"""The class of each error of the Cloud API."""

import re
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bek_operator.crd.reasons import SEVERITY, Reason, Severity
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.cloud import errors as cloud_errors
from bek_operator.whatsapp.cloud.codes import (
    BUSINESS_LIMITS,
    CODES,
    LIMIT_SUBCODE,
    PERMISSIONS,
    SUBCODES,
    class_of_code,
)
from bek_operator.whatsapp.cloud.errors import ApiError, success_false
from bek_operator.whatsapp.cloud.provider_errors import DOCUMENTED
from bek_operator.whatsapp.message_context import MAX_HOST, MAX_SOURCE, MessageContext, context_of
from support.simulators.graph_errors import MESSAGES

TIME, BOUNDED, PERSON = Retry.TRANSIENT, Retry.LIMITED, Retry.TERMINAL
NORMAL, SLOW = Pace.NORMAL, Pace.SLOW

ENDPOINT = CloudEndpoint(
    url=Url(host="h" * 99, port=443, path="/v25.0/1"),
    trust=ServerTrust(ca_bundle=None, server_name="h"),
    token=SecretStr("EAAGt"),
    source="s" * 99,
)
META = context_of(ENDPOINT)
PROVIDER = context_of(replace(ENDPOINT, provider=True))
FLAWED = context_of(replace(ENDPOINT, token=SecretStr("NAME=EA")))


def failure(status: int, error: ApiError, context: MessageContext = META, **more: Any) -> Failure:
    """Return the failure for a response, by default of the Cloud API with the longest names of host and Secret."""
    return cloud_errors.failure(status, error, context, **more)


EXAMPLES = [
    # The documented examples of this edge: HTTP status, code, subcode, is_transient, reason, retry, pace.
    (401, 190, 463, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (403, 200, 1349174, False, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (404, 803, None, False, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
    (422, 100, None, False, Reason.NOT_ELIGIBLE, PERSON, NORMAL),
    (429, 4, 2446079, True, Reason.RATE_LIMITED, TIME, SLOW),
    (500, 2, None, True, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    # Other responses that were seen.
    (400, 190, 460, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 190, 458, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 190, 459, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 190, 464, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 190, 467, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 190, 999, False, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (400, 100, 33, False, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
]

TABLE = [
    # code, HTTP status, reason, retry, pace
    (0, 401, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (1, 400, Reason.SERVICE_NOT_READY, BOUNDED, NORMAL),
    (2, 503, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    (3, 500, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (4, 400, Reason.RATE_LIMITED, TIME, SLOW),
    (10, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (17, 400, Reason.RATE_LIMITED, TIME, SLOW),
    (32, 400, Reason.RATE_LIMITED, TIME, SLOW),
    (33, 400, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
    (100, 400, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
    (102, 401, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (104, 400, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (190, 401, Reason.TOKEN_EXPIRED, PERSON, NORMAL),
    (200, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (250, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (299, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (368, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (613, 400, Reason.RATE_LIMITED, TIME, SLOW),
    (803, 404, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
    (2500, 400, Reason.UNSUPPORTED, PERSON, NORMAL),
    (2635, 400, Reason.UNSUPPORTED, PERSON, NORMAL),
    *((code, 400, Reason.RATE_LIMITED, TIME, SLOW) for code in range(80000, 80015)),
    (130429, 400, Reason.RATE_LIMITED, TIME, NORMAL),
    (130497, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (131000, 500, Reason.SERVICE_NOT_READY, BOUNDED, NORMAL),
    (131005, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (131008, 400, Reason.UNSUPPORTED, PERSON, NORMAL),
    (131009, 400, Reason.NUMBER_UNKNOWN, PERSON, NORMAL),
    (131016, 500, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    (131031, 403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (131045, 500, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (131057, 500, Reason.MAINTENANCE, TIME, SLOW),
    (132068, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (132069, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (133000, 500, Reason.SERVICE_NOT_READY, BOUNDED, NORMAL),
    (133004, 503, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    (133005, 400, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (133006, 400, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (133008, 400, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (133009, 400, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (133010, 400, Reason.NOT_REGISTERED, PERSON, NORMAL),
    (133015, 400, Reason.SERVICE_NOT_READY, TIME, SLOW),
    (133016, 400, Reason.RATE_LIMITED, TIME, SLOW),
    (139000, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (139001, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (139002, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (139003, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (139004, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (139006, 400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (2494100, 500, Reason.MAINTENANCE, TIME, SLOW),
]

ON_PUBLISH = {100: Reason.KEY_REJECTED, 131009: Reason.KEY_REJECTED}


@pytest.mark.parametrize(("code", "status", "reason", "retry", "pace"), TABLE)
@pytest.mark.parametrize("publish", [False, True])
def test_code_counts_first(
    code: int,
    status: int,
    reason: Reason,
    retry: Retry,
    pace: Pace,
    publish: bool,  # noqa: FBT001 - a table's column
) -> None:
    """A documented code counts before any HTTP status."""
    expected = ON_PUBLISH.get(code, reason) if publish else reason
    for any_status in (status, 200, 400, 401, 404, 429, 500, 503):
        found = failure(any_status, ApiError(code=code, subcode=17), publish=publish)
        assert (found.reason, found.retry, found.pace, found.code) == (expected, retry, pace, code)
        assert found.message.endswith(f" (code {code}/17)")


@pytest.mark.parametrize(("status", "code", "subcode", "transient", "reason", "retry", "pace"), EXAMPLES)
@pytest.mark.parametrize("publish", [False, True])
def test_examples(
    status: int,
    code: int,
    subcode: int | None,
    transient: bool,  # noqa: FBT001 - a table's column
    reason: Reason,
    retry: Retry,
    pace: Pace,
    publish: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Subcode and status distinguish what the code alone does not."""
    found = failure(status, ApiError(code=code, subcode=subcode, transient=transient), publish=publish)
    assert (found.reason, found.retry, found.pace) == (reason, retry, pace)


def test_key_rejected() -> None:
    """A refused parameter is the key in response to a publish, and the number in response to a read."""
    assert failure(400, ApiError(code=100), publish=True).reason is Reason.KEY_REJECTED
    assert failure(400, ApiError(code=100)).reason is Reason.NUMBER_UNKNOWN


@pytest.mark.parametrize("publish", [False, True])
def test_proof(publish: bool) -> None:  # noqa: FBT001 - either way
    """A missing proof has a reason of its own; a proof that was sent and refused has another."""
    error = ApiError(code=100, mentions_proof=True)
    assert failure(400, error, publish=publish).reason is Reason.APP_SECRET_PROOF_REQUIRED
    refused = failure(400, error, publish=publish, proof_sent=True)
    assert (refused.reason, refused.retry) == (Reason.ACCESS_DENIED, PERSON)
    assert "appSecretRef" in refused.message
    assert failure(401, ApiError(code=190, mentions_proof=True)).reason is Reason.TOKEN_EXPIRED


def test_what_to_do() -> None:
    """The message of a terminal error says what to do."""
    message = {
        190: "system user",
        200: "whatsapp_business_messaging",
        10: "whatsapp_business_messaging",
        803: "phoneNumberID",
        2635: "`version`",
        2500: "`version`",
        133010: "register",
    }
    for code, word in message.items():
        assert word in failure(400, ApiError(code=code)).message


def test_every_code_is_known() -> None:
    """The table has every code that is documented for these calls."""
    assert {code for code, *_ in TABLE} - set(PERMISSIONS) - set(BUSINESS_LIMITS) == set(CODES)
    assert all(class_of_code(code) for code in MESSAGES)
    assert not any(class_of_code(code) for code in (199, 300, 79999, 80015))


UNKNOWN = [
    (200, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (302, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (400, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (401, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (403, Reason.ACCESS_DENIED, PERSON, NORMAL),
    (404, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (422, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
    (429, Reason.RATE_LIMITED, TIME, SLOW),
    (500, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    (503, Reason.SERVICE_NOT_READY, TIME, NORMAL),
    (999, Reason.INVALID_ANSWER, BOUNDED, NORMAL),
]


@pytest.mark.parametrize(("status", "reason", "retry", "pace"), UNKNOWN)
def test_status_without_code(status: int, reason: Reason, retry: Retry, pace: Pace) -> None:
    """Without a code the HTTP status counts."""
    found = failure(status, ApiError())
    assert (found.reason, found.retry, found.pace, found.code) == (reason, retry, pace, None)
    assert found.message.endswith(f" (HTTP {status})")


@pytest.mark.parametrize(("status", "reason", "retry", "pace"), UNKNOWN)
@pytest.mark.parametrize("transient", [False, True])
def test_unknown_code(
    status: int,
    reason: Reason,
    retry: Retry,
    pace: Pace,
    transient: bool,  # noqa: FBT001 - either way
) -> None:
    """An undocumented code is retried a few times, then reported; one marked as transient may be a rate limit."""
    found = failure(status, ApiError(code=4711, transient=transient))
    if status == 429:
        assert (found.reason, found.retry, found.pace) == (reason, retry, pace)
    elif transient:
        assert (found.reason, found.retry, found.pace) == (Reason.SERVICE_NOT_READY, TIME, SLOW)
    else:
        assert (found.reason, found.retry) == (reason, BOUNDED if retry is TIME else retry)
    assert found.message.endswith(f" (HTTP {status}, code 4711)")


def test_transient() -> None:
    """An error that is marked as transient is retried longer; a terminal one at least some more times."""
    assert failure(500, ApiError(code=131000, transient=True)).retry is TIME
    assert failure(400, ApiError(code=1, transient=True)).retry is TIME
    assert failure(400, ApiError(code=133010, transient=True)).retry is BOUNDED
    assert failure(400, ApiError(code=4, transient=True)).retry is TIME
    assert failure(400, ApiError(transient=True)).retry is TIME
    assert failure(500, ApiError(transient=True)).retry is TIME


@pytest.mark.parametrize(
    ("status", "code", "unknown"),
    [
        (200, None, True),
        (302, None, True),
        (400, None, False),
        (404, None, False),
        (429, None, False),
        (500, None, True),
        (200, 4711, True),
        (400, 4711, False),
        (500, 4711, True),
        (400, 1, True),
        (500, 2, True),
        (400, 2, True),
        (500, 131000, True),
        (500, 131016, True),
        (503, 133004, True),
        (400, 100, False),
        (500, 3, False),
        (400, 4, False),
        (500, 131057, False),
        (401, 190, False),
    ],
)
def test_outcome_of_publish(status: int, code: int | None, unknown: bool) -> None:  # noqa: FBT001 - an expectation
    """A publish with a definite refusal was not carried out; an internal error leaves its outcome unknown."""
    assert failure(status, ApiError(code=code), publish=True).unknown is unknown
    assert failure(status, ApiError(code=code)).unknown is False


def test_success_false() -> None:
    """`success: false` leaves the outcome of the publish unknown."""
    found = success_false(200, ApiError(trace="abc"), META)
    assert (found.reason, found.retry, found.unknown, found.trace) == (Reason.SERVICE_NOT_READY, BOUNDED, True, "abc")


def test_waits() -> None:
    """Some errors have a known duration, which counts unless the server names one itself."""
    assert failure(400, ApiError(code=133015)).retry_after == 300.0
    assert failure(400, ApiError(code=133016)).retry_after == 3600.0
    assert failure(400, ApiError(code=133016), retry_after=7.0).retry_after == 7.0
    assert failure(500, ApiError(code=131057)).retry_after is None


def test_over_limit() -> None:
    """A rate limit of the token is distinguished from one of a single number."""
    for limit in (4, 17, 32, 613, *BUSINESS_LIMITS):
        assert failure(400, ApiError(code=limit)).shared
    for status, code, shared in ((429, None, True), (429, 4711, True), (400, None, False), (429, 133016, False)):
        assert failure(status, ApiError(code=code)).shared is shared
    assert not failure(400, ApiError(code=130429)).shared


@pytest.mark.parametrize(
    ("status", "error", "limit"),
    [
        (400, ApiError(code=4711, subcode=LIMIT_SUBCODE), True),
        (400, ApiError(code=4711, limit_reached=True), True),
        (403, ApiError(code=4711, limit_reached=True), True),
        (500, ApiError(code=4711, limit_reached=True), True),
        (400, ApiError(limit_reached=True), True),
        (400, ApiError(code=4711, limit_reached=True, mentions_key=True), True),
        (502, ApiError(limit_reached=True), False),
        (200, ApiError(limit_reached=True), False),
        (400, ApiError(code=133010, limit_reached=True), False),
        (400, ApiError(code=133010, subcode=LIMIT_SUBCODE), False),
    ],
)
@pytest.mark.parametrize("publish", [False, True])
def test_a_limit_without_a_known_code(
    status: int,
    error: ApiError,
    limit: bool,  # noqa: FBT001 - an expectation
    publish: bool,  # noqa: FBT001 - either way
) -> None:
    """Without a known code, the usage headers or the subcode of rate limits identify a limit."""
    found = failure(status, error, publish=publish)
    assert (found.reason is Reason.RATE_LIMITED, found.shared) == (limit, limit)
    if limit:
        assert (found.retry, found.pace, found.unknown) == (TIME, SLOW, False)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, ApiError(code=4711, mentions_key=True), Reason.KEY_REJECTED),
        (400, ApiError(mentions_key=True), Reason.KEY_REJECTED),
        (400, ApiError(code=4711), Reason.INVALID_ANSWER),
        (403, ApiError(code=4711, mentions_key=True), Reason.ACCESS_DENIED),
        (500, ApiError(code=4711, mentions_key=True), Reason.SERVICE_NOT_READY),
        (200, ApiError(code=4711, mentions_key=True), Reason.INVALID_ANSWER),
        (400, ApiError(code=4711, mentions_key=True, transient=True), Reason.SERVICE_NOT_READY),
        (400, ApiError(code=133010, mentions_key=True), Reason.NOT_REGISTERED),
    ],
)
def test_undocumented_error_that_mentions_the_key(status: int, error: ApiError, reason: Reason) -> None:
    """It must be the response to a publish with a definite refusal."""
    assert failure(status, error, publish=True).reason is reason
    assert failure(status, error).reason is not Reason.KEY_REJECTED


def test_messages() -> None:
    """Every message fits into a status row, and is the same every time."""
    codes = [None, 0, 200, 80008, 9_999_999, *CODES]
    for status in (100, 200, 302, 400, 401, 403, 404, 422, 429, 500, 999):
        for code in codes:
            for error in (
                ApiError(code=code, subcode=9_999_999, mentions_proof=True, mentions_key=True),
                ApiError(code=code, transient=True),
                *(ApiError(code=code, provider_class=own) for _, own in DOCUMENTED),
            ):
                for publish, context in product((False, True), (META, PROVIDER, FLAWED)):
                    found = failure(status, error, context, publish=publish, proof_sent=publish)
                    assert 10 < len(found.message) <= 200
                    assert "{" not in found.message
                    assert found == failure(status, error, context, publish=publish, proof_sent=publish)
    for (code, subcode), error_class in SUBCODES.items():
        found = failure(400, ApiError(code=code, subcode=subcode))
        assert found.message.startswith(META.render(error_class.message))
        assert len(found.message) <= 200


def test_long_names_are_truncated() -> None:
    """Long names of hosts and Secrets lose their middle."""
    assert (len(META.host), len(META.source)) == (MAX_HOST, MAX_SOURCE)
    assert "h…h" in META.host


@pytest.mark.parametrize(
    ("status", "code"), [(401, 190), (400, 0), (401, 102), (401, None), (403, None), (403, 10), (403, 200), (403, 3)]
)
def test_refusal_names_the_secret(status: int, code: int | None) -> None:
    """A refusal names the Secret of the credentials; for a provider also the field."""
    assert META.source in failure(status, ApiError(code=code)).message
    assert f"{PROVIDER.source} (`apiKeySecretRef`)" in failure(status, ApiError(code=code), PROVIDER).message


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        (401, ApiError(code=190), True),
        (401, ApiError(code=0), True),
        (401, ApiError(), True),
        (401, ApiError(code=190, subcode=463), False),
        (401, ApiError(code=190, subcode=460), False),
        (403, ApiError(code=200), False),
    ],
)
def test_flaw_is_shown_with_a_refusal(
    status: int,
    error: ApiError,
    shown: bool,  # noqa: FBT001 - an expectation
) -> None:
    """A flaw is shown unless the API says that the token was valid once."""
    odd = context_of(replace(ENDPOINT, token=SecretStr("15550001111")))
    message = "access denied: the access token does not begin with EA, as access tokens of Meta do; correct it in s"
    assert failure(status, error, odd).message.startswith(message) is shown
    assert not failure(status, error).message.startswith("access denied: the access token")


@pytest.mark.parametrize("subcode", [None, 458, 459, 460, 463, 464, 467, 999])
def test_a_provider_refuses_the_api_key(subcode: int | None) -> None:
    """A message for a provider's customer mentions no token and no system user."""
    found = failure(401, ApiError(code=190, subcode=subcode), PROVIDER)
    assert found.reason is Reason.TOKEN_EXPIRED
    assert found.message.startswith("the provider rejects the API key; put a valid one into ")


def test_messages_for_providers() -> None:
    """No message for a provider mentions a field, a token or a user that its customers do not have."""
    codes = [None, 0, 200, 9_999_999, *CODES]
    for status in (200, 302, 400, 401, 403, 404, 422, 429, 500):
        for code, publish in product(codes, (False, True)):
            message = failure(status, ApiError(code=code, mentions_proof=True), PROVIDER, publish=publish).message
            found = re.search(r"system user|access token|the token|`version`|appSecretRef|--cloud", message)
            assert found is None, message


@pytest.mark.parametrize("error", [ApiError(), ApiError(code=4711)], ids=["no code", "unknown code"])
def test_undocumented_error_of_a_provider(error: ApiError) -> None:
    """The message says whose support to ask, and shows the HTTP status."""
    message = failure(400, error, PROVIDER).message
    assert "the provider returned an undocumented error" in message
    assert "(HTTP 400" in message


def test_documented_message_of_a_provider_counts_after_a_code() -> None:
    """A documented message of a provider counts before the HTTP status."""
    for _, own in DOCUMENTED:
        assert failure(400, ApiError(provider_class=own), PROVIDER).reason is own.reason
        assert failure(400, ApiError(provider_class=own, code=133010), PROVIDER).reason is Reason.NOT_REGISTERED


@pytest.mark.parametrize(("status", "code"), [(400, 2500), (400, 2635), (404, None), (404, 803)])
def test_url_of_a_provider_is_named(status: int, code: int | None) -> None:
    """If the path may be wrong, the message names the field of the URL."""
    assert "check `provider.url`" in failure(status, ApiError(code=code), PROVIDER).message


@pytest.mark.parametrize("context", [META, PROVIDER], ids=["Cloud", "Provider"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 418, 500])
def test_the_host_is_named_where_another_may_have_answered(status: int, context: MessageContext) -> None:
    """Without a code it may be a proxy or the wrong address, so the host is named."""
    assert failure(status, ApiError(), context).message.startswith(context.host)


def test_retry_matches_the_reason() -> None:
    """An error is terminal if, and only if, its reason needs a user."""
    for error_class in (*CODES.values(), *SUBCODES.values()):
        assert (error_class.retry is PERSON) == (SEVERITY[error_class.reason][0] is Severity.USER_ACTION)
