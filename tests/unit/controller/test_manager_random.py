"""A reign at the mercy of chance: whatever happens, in whatever order, it comes to rest and has kept its promises."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from support.builders import KEY_SECRET, LOGIN_SECRET
from support.manager_life import FAILURES, Script, Step, play

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = ["first", "second", "third"]
OF_NUMBERS = ["fail", "refuse", "recover", "settle", "overwrite", "lose"]
OF_PEOPLE = [
    "rotate",
    "flip",
    "rotate_in_vain",
    "change_password",
    "check_every",
    "set_policy",
    "suspend",
    "enlist",
    "request",
]
OF_CLUSTER = ["take_away", "touch_secret", "clear_status", "go_away", "restart", "crash"]

PAUSES = [0.0, 0.3, 3.0, 8.0, 70.0, 700.0, 4000.0]
SHORT_PAUSES = [0.0, 0.005, 0.05, 0.3, 1.0, 6.0]


class Dice:
    """Makes scripts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - chooses what happens, keeps no secret

    def script(self, *, storm: bool) -> Script:
        """Make a script of hours for a few numbers, or one of seconds for many."""
        pick, more = self._random.choice, range(self._random.randint(8, 23))
        # Of few kinds of trouble more come together, and passes meet them halfway.
        acts = [*self._random.sample([*OF_NUMBERS, *OF_PEOPLE, *OF_CLUSTER], 7), "touch", "touch", "touch"]
        begin = [self._step(pick(["fail", "refuse", "refuse", "settle"]), 0, [0.0]) for _ in range(2)]
        pauses = SHORT_PAUSES if storm else PAUSES
        return Script(
            seed=self._seed,
            count=30 if storm else self._random.randint(1, 6),
            interval=pick([120, 600, 3600]),
            at_once=pick([2, 8, 50]),
            call_seconds=pick([0.02, 0.5, 2.0]),
            settle_seconds=pick([0.0, 0.0, 3.0]),
            answer_seconds=pick([0.0, 0.02, 0.5]),
            steps=(*begin, *(step for index in more for step in self._steps(pick(acts), index, pauses))),
        )

    def _steps(self, act: str, index: int, pauses: list[float]) -> list[Step]:
        before = [Step(0.0, "get_well")] if act == "rotate_in_vain" else []
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
            "rotate_in_vain": lambda: (pick(KEYS),),
            "change_password": lambda: (pick(["first", "second"]),),
            "check_every": lambda: (pick([60, 600, 3600]),),
            "set_policy": lambda: (pick(["Never", "IfNeeded"]),),
            "suspend": lambda: (pick(["suspended", ""]),),
            "enlist": lambda: (pick([0, 1, 3]), pick([1, 2, 5, 30])),
            "request": lambda: (f"request {index}",),
            "take_away": lambda: (pick([KEY_SECRET, LOGIN_SECRET]), pick([0.5, 1.9, 3.0, 60.0]), pick([1, 1, 5])),
            "go_away": lambda: (pick([0.3, 5.0, 90.0, 1300.0]),),
            "restart": lambda: (pick([0.0, 1.0, 300.0]),),
            "crash": lambda: (pick([0.3, 5.0]),),
        }
        return makers[act]() if act in makers else ()


@pytest.mark.parametrize("seed", [*range(50), 312])
def test_a_few_numbers_come_to_rest_after_hours_of_trouble(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Each publish had its reason, the status told all in time, and in the end nothing is left to write or publish."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(storm=False))
    assert not caplog.records


@pytest.mark.parametrize("seed", range(8))
def test_many_numbers_come_to_rest_after_seconds_of_trouble(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """The same holds where all of it happens at once."""
    caplog.set_level(logging.ERROR)
    play(Dice(seed).script(storm=True))
    assert not caplog.records
