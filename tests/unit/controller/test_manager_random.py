"""Random lives: whatever happens, in whatever order, the operator keeps its promises and settles."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from support.builders import KEY_SECRET, LOGIN_SECRET
from unit.controller.life_script import FAILURES, Script, Step
from unit.controller.random_life import play
from unit.controller.random_world import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

OF_NUMBERS = ["fail", "refuse", "recover", "settle", "overwrite", "lose"]
OF_PEOPLE = [
    "rotate",
    "flip",
    "rotate_to_rejected",
    "change_password",
    "check_every",
    "set_policy",
    "suspend",
    "list_numbers",
    "request",
]
OF_ENDPOINT = ["give_key", "take_key", "take_key", "break_endpoint", "endpoint_away"]
OF_CLUSTER = ["remove_secret", "touch_secret", "clear_status", "api_server_down", "restart", "crash"]
OF_PROCESSES = ["beside_another", "beside_another", "restart", "request", "lose_answers", "lose"]

PAUSES = [0.0, 0.3, 3.0, 8.0, 70.0, 700.0, 4000.0]
SHORT_PAUSES = [0.0, 0.005, 0.05, 0.3, 1.0, 6.0]


class Dice:
    """Makes random scripts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - chooses what happens, keeps no secret

    def script(self, *, burst: bool, endpoint: bool = False, shared: bool = False) -> Script:
        """Make a script of hours for a few numbers, or one of seconds for many."""
        pick, more = self._random.choice, range(self._random.randint(8, 23))
        # With few kinds of faults more of them coincide, and reconciles meet them unfinished.
        acts = [*self._random.sample([*OF_NUMBERS, *OF_PEOPLE, *OF_CLUSTER], 7), "touch", "touch", "touch"]
        acts += [*OF_ENDPOINT, "rotate", "rotate"] if endpoint else []
        acts += OF_PROCESSES if shared else []
        begin = [self._step(pick(["fail", "refuse", "refuse", "settle"]), 0, [0.0]) for _ in range(2)]
        pauses = SHORT_PAUSES if burst else PAUSES
        return Script(
            seed=self._seed,
            count=30 if burst else self._random.randint(1, 6),
            interval=pick([120, 600, 3600]),
            at_once=pick([2, 8, 50]),
            call_seconds=pick([0.02, 0.5, 2.0]),
            settle_seconds=pick([0.0, 0.0, 3.0]),
            answer_seconds=pick([0.0, 0.02, 0.5]),
            steps=(*begin, *(step for index in more for step in self._steps(pick(acts), index, pauses))),
            endpoint=endpoint,
        )

    def _steps(self, act: str, index: int, pauses: list[float]) -> list[Step]:
        before = [Step(0.0, "become_ready")] if act == "rotate_to_rejected" else []
        return [*before, self._step(act, index, pauses)]

    def _step(self, act: str, index: int, pauses: list[float]) -> Step:
        pick = self._random.choice
        amid = pick(["", "publish", "publish"] if act == "touch" else ["", "", "read", "publish"])
        return Step(pick(pauses), act, self._values(act, index), amid if max(pauses) else "")

    def _values(self, act: str, index: int) -> tuple[Any, ...]:
        pick, which = self._random.choice, self._random.randrange(60)
        makers: dict[str, Callable[[], tuple[Any, ...]]] = {
            "fail": lambda: (which, pick(list(FAILURES)), pick([0.02, 1.0, 8.0])),
            "refuse": lambda: (which, pick(["not registered", *FAILURES])),
            "settle": lambda: (which, pick([3.0, 100.0, 1e9])),
            "overwrite": lambda: (which, pick(["", "", *KEYS])),
            "lose": lambda: (which,),
            "rotate": lambda: (pick(KEYS),),
            "flip": lambda: (pick(KEYS), pick([1, 4, 15]), pick([0.1, 1.5, 4.0])),
            "rotate_to_rejected": lambda: (pick(KEYS),),
            "change_password": lambda: (pick(["first", "second"]),),
            "check_every": lambda: (pick([60, 600, 3600]),),
            "set_policy": lambda: (pick(["Never", "IfNeeded"]),),
            "suspend": lambda: (pick(["suspended", ""]),),
            "list_numbers": lambda: (pick([0, 1, 3]), pick([1, 2, 5, 30])),
            "request": lambda: (f"request {index}",),
            "remove_secret": lambda: (pick([KEY_SECRET, LOGIN_SECRET]), pick([0.5, 1.9, 3.0, 60.0]), pick([1, 1, 5])),
            "api_server_down": lambda: (pick([0.3, 5.0, 90.0, 1300.0]),),
            "restart": lambda: (pick([0.0, 1.0, 300.0]),),
            "beside_another": lambda: (pick([3.0, 70.0, 700.0]),),
            "lose_answers": lambda: (which,),
            "crash": lambda: (pick([0.3, 5.0]),),
            "give_key": lambda: (pick(KEYS),),
            "take_key": lambda: (pick(KEYS),),
            "break_endpoint": lambda: (pick(["", "in the clear", "wrong padding", "vector not inverted"]),),
            "endpoint_away": lambda: (pick([3.0, 70.0, 700.0]),),
        }
        return makers[act]() if act in makers else ()


@pytest.mark.parametrize("seed", [*range(50), 312])
def test_a_few_numbers_settle_after_hours_of_faults(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Each publish had its reason, the status was never late, and in the end nothing is left to write or publish."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(burst=False))
    assert not caplog.records


@pytest.mark.parametrize("seed", range(8))
def test_many_numbers_settle_after_seconds_of_faults(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """The same with all of it within seconds."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(burst=True))
    assert not caplog.records


@pytest.mark.parametrize("seed", [*range(24), 291, 3203])
def test_no_key_is_published_that_the_endpoint_has_not_opened(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Though it gets and loses keys and breaks, in any order with changes, restarts and crashes; it all settles."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(burst=seed % 4 == 0, endpoint=True))
    assert not caplog.records


@pytest.mark.parametrize("seed", range(24))
def test_two_processes_settle(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """At the same time for a while, with restarts, requests that are not handled yet, and lost answers to publishes."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(burst=seed % 4 == 0, shared=True))
    assert not caplog.records
