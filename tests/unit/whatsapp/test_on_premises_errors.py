"""The class of each error of the On-Premises API."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bek_operator.crd.reasons import SEVERITY, Reason, Severity
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.message_context import MAX_HOST, MAX_SOURCE, context_of
from bek_operator.whatsapp.on_premises import errors as on_premises_errors
from bek_operator.whatsapp.on_premises.errors import CODES, is_expired_token
from support.builders import endpoint
from support.simulators.envelope import TITLES

TIME, BOUNDED, PERSON = Retry.TRANSIENT, Retry.LIMITED, Retry.TERMINAL

CONTEXT = replace(context_of(endpoint()), host="h" * MAX_HOST, source="s" * MAX_SOURCE)


def failure(status: int, codes: Sequence[int] = (), **more: Any) -> Failure:
    """Return the failure for a response of a pod whose host and Secret have the longest names."""
    return on_premises_errors.failure(status, codes, CONTEXT, **more)


TABLE = [
    (429, Reason.RATE_LIMITED, TIME, Pace.SLOW),
    (430, Reason.NOT_REGISTERED, PERSON, Pace.NORMAL),
    (432, Reason.NOT_REGISTERED, PERSON, Pace.NORMAL),
    (433, Reason.NOT_REGISTERED, PERSON, Pace.NORMAL),
    (1000, Reason.SERVICE_NOT_READY, BOUNDED, Pace.NORMAL),
    (1004, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1005, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
    (1006, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1008, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1009, Reason.KEY_REJECTED, PERSON, Pace.NORMAL),
    (1010, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1011, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
    (1013, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
    (1014, Reason.SERVICE_NOT_READY, BOUNDED, Pace.NORMAL),
    (1015, Reason.RATE_LIMITED, TIME, Pace.SLOW),
    (1016, Reason.RATE_LIMITED, TIME, Pace.SLOW),
    (1017, Reason.SERVICE_NOT_READY, TIME, Pace.SOON),
    (1018, Reason.SERVICE_NOT_READY, TIME, Pace.SOON),
    (1021, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
    (1022, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1023, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
    (1024, Reason.PASSWORD_CHANGE_REQUIRED, PERSON, Pace.NORMAL),
    (1025, Reason.UNSUPPORTED, PERSON, Pace.NORMAL),
    (1031, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
]


@pytest.mark.parametrize(("code", "reason", "retry", "pace"), TABLE)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 503])
def test_code_counts_first(status: int, code: int, reason: Reason, retry: Retry, pace: Pace) -> None:
    """A documented code counts before any HTTP status."""
    found = failure(status, [code])
    assert (found.reason, found.retry, found.pace, found.code) == (reason, retry, pace, code)
    assert found.message.endswith(f"(code {code})")


def test_every_code_is_known() -> None:
    """The table has every code that the API documents for these calls."""
    assert {code for code, *_ in TABLE} == set(TITLES) == set(CODES)


@pytest.mark.parametrize(
    ("status", "reason", "retry", "pace"),
    [
        (200, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (204, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (101, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (301, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (307, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (400, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (401, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
        (403, Reason.ACCESS_DENIED, PERSON, Pace.NORMAL),
        (404, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (418, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
        (429, Reason.RATE_LIMITED, TIME, Pace.SLOW),
        (500, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
        (502, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
        (503, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
        (599, Reason.SERVICE_NOT_READY, TIME, Pace.NORMAL),
        (999, Reason.INVALID_ANSWER, BOUNDED, Pace.NORMAL),
    ],
)
@pytest.mark.parametrize("codes", [[], [4711]])
def test_status_without_known_code(codes: list[int], status: int, reason: Reason, retry: Retry, pace: Pace) -> None:
    """Without a recognised code the HTTP status counts; the code is shown all the same."""
    found = failure(status, codes)
    assert (found.reason, found.retry, found.pace) == (reason, retry, pace)
    assert found.code == (codes[0] if codes else None)
    assert found.message.endswith("(code 4711)" if codes else f"(HTTP {status})")


def test_first_recognised() -> None:
    """Of several errors the first documented one counts."""
    assert failure(400, [4711, 1017, 1005]).code == 1017
    assert failure(400, [4711, 4712]).code == 4711


@pytest.mark.parametrize(
    ("status", "codes", "unknown"),
    [
        (200, [], True),
        (302, [], True),
        (400, [], False),
        (401, [], False),
        (429, [], False),
        (500, [], True),
        (503, [], True),
        (200, [4711], True),
        (400, [4711], False),
        (400, [1009], False),
        (500, [1000], True),
        (400, [1000], False),
        (500, [1014], True),
        (500, [1023], True),
        (503, [1011], False),
        (503, [1017], False),
    ],
)
def test_outcome_of_publish(status: int, codes: list[int], unknown: bool) -> None:  # noqa: FBT001 - an expectation
    """A publish with a definite refusal was not carried out; any other error leaves its outcome unknown."""
    assert failure(status, codes, publish=True).unknown is unknown
    assert failure(status, codes).unknown is False


def test_messages() -> None:
    """Every message fits into a status row, and is the same every time."""
    for status in range(100, 600):
        for codes in ([], [999_999], *([code] for code in CODES)):
            found = failure(status, codes)
            assert 10 < len(found.message) <= 200
            assert "{" not in found.message
            assert found == failure(status, codes)


@pytest.mark.parametrize("code", [1005, 1013, 1021, 1024, 1031])
def test_refusal_names_the_secret(code: int) -> None:
    """A refused login names the Secret."""
    assert CONTEXT.source in failure(400, [code]).message


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 418, 500])
def test_the_host_is_named_where_another_may_have_answered(status: int) -> None:
    """Without a code it may be a proxy or the wrong address, so the host and its setting are named."""
    message = failure(status).message
    assert message.startswith(f"{CONTEXT.host}: ")
    if status in {200, 302, 404}:
        assert "check `onPremises.url`" in message


def test_url_with_the_path_of_the_endpoint() -> None:
    """A URL that includes the endpoint's own path is a typical mistake."""
    assert "`onPremises.url` (it must end before /v1)" in failure(404, [1006]).message


def test_retry_matches_the_reason() -> None:
    """An error is terminal if, and only if, its reason needs a user."""
    for error_class in CODES.values():
        assert (error_class.retry is PERSON) == (SEVERITY[error_class.reason][0] is Severity.USER_ACTION)


def test_retry_after_is_passed_on() -> None:
    """The wait that the server asks for is kept."""
    assert failure(503, retry_after=7.0).retry_after == 7.0


@pytest.mark.parametrize(
    ("status", "codes", "expired"),
    [
        (401, [], True),
        (401, [4711], True),
        (401, [1005], True),
        (400, [1005], True),
        (200, [1005], True),
        (401, [1031], False),
        (401, [1024], False),
        (401, [1015], False),
        (403, [], False),
        (500, [], False),
    ],
)
def test_login_may_help(status: int, codes: list[int], expired: bool) -> None:  # noqa: FBT001 - an expectation
    """A login is repeated only if the token may be the cause."""
    found = failure(status, codes)
    assert isinstance(found, Failure)
    assert is_expired_token(status, found) is expired
