"""Parsing of the headers that report the usage of rate limits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.whatsapp.ratelimit.usage import Usage, parse_usage

MANAGEMENT = "whatsapp_business_management"


def app(**percentages: Any) -> dict[str, str]:
    """Return the header of an app."""
    return {"x-app-usage": json.dumps(percentages)}


def business(*entries: Any, identity: str = "102290129340398") -> dict[str, str]:
    """Return the header of one business account."""
    return {"x-business-use-case-usage": json.dumps({identity: entries})}


def entry(kind: Any = MANAGEMENT, **members: Any) -> dict[str, Any]:
    """Return an entry of a business account."""
    percentages = {"call_count": 1, "total_cputime": 2, "total_time": 3}
    return {"type": kind, **percentages, "estimated_time_to_regain_access": 0, **members}


@pytest.mark.parametrize(
    ("percentages", "percent"),
    [
        ({"call_count": 12, "total_cputime": 3, "total_time": 4}, 12.0),
        ({"call_count": 1, "total_cputime": 30, "total_time": 4}, 30.0),
        ({"call_count": 1, "total_cputime": 3, "total_time": 40.5}, 40.5),
        ({"call_count": 0, "total_cputime": 0, "total_time": 0}, 0.0),
        ({"call_count": 250}, 100.0),
        ({"call_count": 10**4000}, 100.0),
        ({"call_count": 7, "total_cputime": "90", "total_time": None, "more": 99}, 7.0),
    ],
)
def test_app(percentages: dict[str, Any], percent: float) -> None:
    """The highest percentage counts."""
    assert parse_usage(app(**percentages)) == (Usage(meter="app", percent=percent),)


def test_business() -> None:
    """A business account has a meter for each kind of use, with the time until calls are allowed again."""
    headers = business(entry(call_count=90), entry("whatsapp", estimated_time_to_regain_access=7), entry("pages"))
    assert parse_usage(headers) == (
        Usage(meter=f"102290129340398/{MANAGEMENT}", percent=90.0),
        Usage(meter="102290129340398/whatsapp", percent=3.0, regain_seconds=420.0),
    )


def test_both() -> None:
    """The limits of app and business account are reported side by side."""
    assert [usage.meter for usage in parse_usage(app(call_count=1) | business(entry()))] == [
        "app",
        f"102290129340398/{MANAGEMENT}",
    ]


@pytest.mark.parametrize(("minutes", "seconds"), [(0, 0.0), (1, 60.0), (60, 3600.0), (61, 3600.0), (10**400, 3600.0)])
def test_time_to_regain_access(minutes: int, seconds: float) -> None:
    """The time until calls are allowed again is in minutes, and bounded to an hour."""
    (usage,) = parse_usage(business(entry(estimated_time_to_regain_access=minutes)))
    assert usage.regain_seconds == seconds


@pytest.mark.parametrize("minutes", [-1, "5", None, True, [], 0.0])
def test_nonsense_to_regain_access(minutes: Any) -> None:
    """A malformed time counts as none."""
    (usage,) = parse_usage(business(entry(estimated_time_to_regain_access=minutes)))
    assert usage.regain_seconds == 0.0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-app-usage": ""},
        {"x-app-usage": "28"},
        {"x-app-usage": "[]"},
        {"x-app-usage": "{"},
        {"x-app-usage": "[" * 8000},
        {"x-app-usage": '{"call_count": 28}'.ljust(9000)},
        {"x-app-usage": '{"call_count": NaN}'},
        app(),
        app(call_count=-1),
        app(call_count=True),
        app(call_count="28"),
        app(call_count=[28]),
        business(),
        business(28, None, [], "x"),
        business(entry(None)),
        business(entry("ads_management")),
        business(entry("whatsapp" + "x" * 60)),
        business(entry(call_count=None, total_cputime=-1, total_time="")),
        business(entry(), identity="9" * 100),
        {"x-business-use-case-usage": '{"1": {"type": "whatsapp", "call_count": 28}}'},
    ],
)
def test_nonsense(headers: dict[str, str]) -> None:
    """Malformed usage is left out."""
    assert parse_usage(headers) == ()


def test_number_of_meters_is_bounded() -> None:
    """The number of meters in a header is bounded."""
    header = json.dumps({str(index): [{"type": "whatsapp", "call_count": 1}] for index in range(80)})
    assert len(parse_usage({"x-business-use-case-usage": header})) == 32


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SHARES = st.fixed_dictionaries(
    {},
    optional={
        "call_count": JSON,
        "total_cputime": JSON,
        "type": st.just("whatsapp") | JSON,
        "estimated_time_to_regain_access": JSON,
    },
)
HEADER = (SHARES | st.dictionaries(st.text(max_size=5), st.lists(SHARES | JSON, max_size=2)) | JSON).map(
    json.dumps
) | st.text()


@given(st.fixed_dictionaries({}, optional={"x-app-usage": HEADER, "x-business-use-case-usage": HEADER}))
def test_any_header(headers: dict[str, str]) -> None:
    """Whatever a header says, usage is a percentage and the time to wait is at most an hour."""
    for usage in parse_usage(headers):
        assert 0 <= usage.percent <= 100
        assert 0 <= usage.regain_seconds <= 3600
