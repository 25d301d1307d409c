"""Rate limits of the Graph API, and the headers that report their usage."""

import json
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack

from support.simulators.graph_errors import GraphError, graph_error

Per = Literal["app", "app+waba", "token", "number"]
"""Who shares a limit."""

HOUR = 3600

_ERRORS: Mapping[Per, GraphError] = {
    "app": graph_error(4, subcode=2446079),
    "token": graph_error(4, subcode=2446079),
    "app+waba": graph_error(80007),
    "number": graph_error(130429),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """The accounts that a call counts for.

    Attributes:
        app: Of the token; empty where there are no apps.
        token: Its name.
        waba: Of the number; empty when the call is for no number.
        number: Its id, empty likewise.
    """

    app: str = ""
    token: str = ""
    waba: str = ""
    number: str = ""

    def account(self, per: Per) -> tuple[str, ...]:
        """Return the call's account at a limit; empty if the limit does not apply."""
        parts = {
            "app": (self.app,),
            "app+waba": (self.app, self.waba),
            "token": (self.token,),
            "number": (self.number,),
        }[per]
        return parts if parts[-1] else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of an account is used, as headers report it: in percent, and minutes until calls are allowed again."""

    call_count: int
    total_cputime: int
    total_time: int
    regain: int


class Options(TypedDict, total=False):
    """How a limit behaves.

    Attributes:
        window: Whether the hour is the last one, as it is by default, or the clock's own.
        error: The answer to calls beyond it; a business account's code is 80007 by default.
        retry_after: The Retry-After of such answers; `seconds` for the real wait, none by default.
        cputime_per_call: Percent of the allowed computing time that a call takes; it may run out first.
        time_per_call: Percent of the allowed time that a call takes, likewise.
        counts_refused: Whether refused calls count too, and so prolong the refusal.
        shown: Whether answers report the usage, as they do by default.
    """

    window: Literal["sliding", "hourly"]
    error: GraphError
    retry_after: str | None
    cputime_per_call: float
    time_per_call: float
    counts_refused: bool
    shown: bool


class Limit:
    """A number of calls an hour for each account; plain attributes, also those of `Options`, may be set at any time.

    Attributes:
        calls_per_hour: How many calls are answered, 1 at least.
        per: Who shares them.
        refused: How many calls were refused.
    """

    def __init__(self, calls_per_hour: int, per: Per, **options: Unpack[Options]) -> None:
        self.calls_per_hour = calls_per_hour
        self.per = per
        self.window = options.get("window", "sliding")
        self.error = options.get("error", _ERRORS[per])
        self.retry_after = options.get("retry_after")
        self.cputime_per_call = options.get("cputime_per_call", 0.0)
        self.time_per_call = options.get("time_per_call", 0.0)
        self.counts_refused = options.get("counts_refused", False)
        self.shown = options.get("shown", True)
        self.refused = 0
        self._calls: defaultdict[tuple[str, ...], deque[float]] = defaultdict(deque)

    def take(self, account: tuple[str, ...], now: float) -> GraphError | None:
        """Count a call; return the error if it is beyond the limit."""
        calls = self._recent(account, now)
        full = len(calls) >= self._room
        if not full or self.counts_refused:
            calls.append(now)
        if not full:
            return None
        self.refused += 1
        if self.retry_after is None:
            return self.error
        wait = math.ceil(self._wait(calls, now))
        after = str(wait) if self.retry_after == "seconds" else self.retry_after
        return replace(self.error, headers={**self.error.headers, "Retry-After": after})

    def usage(self, account: tuple[str, ...], now: float) -> Usage:
        """Return how much is used."""
        calls = self._recent(account, now)
        count = len(calls)
        full = count >= self._room
        return Usage(
            call_count=min(100, count * 100 // self.calls_per_hour),
            total_cputime=min(100, int(count * self.cputime_per_call)),
            total_time=min(100, int(count * self.time_per_call)),
            regain=math.ceil(self._wait(calls, now) / 60) if full else 0,
        )

    def used(self, account: tuple[str, ...], now: float) -> int:
        """Return how many calls count at this time."""
        return len(self._recent(account, now))

    @property
    def _room(self) -> int:
        shares = [100 / share for share in (self.cputime_per_call, self.time_per_call) if share > 0]
        return math.ceil(min([self.calls_per_hour, *shares]))

    def _recent(self, account: tuple[str, ...], now: float) -> deque[float]:
        """Drop calls that no longer count, return the others."""
        begin = now - HOUR if self.window == "sliding" else now // HOUR * HOUR
        calls = self._calls[account]
        while calls and (calls[0] <= begin if self.window == "sliding" else calls[0] < begin):
            calls.popleft()
        return calls

    def _wait(self, calls: deque[float], now: float) -> float:
        """Return the seconds until a call is allowed, given that none is."""
        if self.window == "hourly":
            return HOUR - now % HOUR
        return calls[len(calls) - self._room] + HOUR - now


def headers(limits: Iterable[Limit], payer: Payer, now: float) -> dict[str, str]:
    """Return the usage headers for a caller."""
    app: list[Usage] = []
    business: dict[str, list[dict[str, object]]] = {}
    for limit in limits:
        if not limit.shown or not (account := payer.account(limit.per)):
            continue
        usage = limit.usage(account, now)
        if limit.per in {"app", "token"}:
            app.append(usage)
            continue
        entry: dict[str, object] = {
            "type": "whatsapp_business_management" if limit.per == "app+waba" else "whatsapp",
            "call_count": usage.call_count,
            "total_cputime": usage.total_cputime,
            "total_time": usage.total_time,
            "estimated_time_to_regain_access": usage.regain,
        }
        business.setdefault(payer.waba, []).append(entry)
    found: dict[str, str] = {}
    if app:
        found["X-App-Usage"] = json.dumps(
            {name: max(getattr(usage, name) for usage in app) for name in ("call_count", "total_cputime", "total_time")}
        )
    if business:
        found["X-Business-Use-Case-Usage"] = json.dumps(business)
    return found
