"""What the log tells of the work of an operator: one line for each thing that happened, and which object it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bek_operator.logs import set_up_logging
from support.builders import spec_body
from support.fakes import number, numbers, unavailable
from support.virtual_time import virtual_time
from support.world import World

pytestmark = pytest.mark.usefixtures("logging_untouched")

DAY = 86400.0


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@virtual_time
async def test_a_day_on_which_nothing_happens_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """At level info: the key that was published is the last line."""
    set_up_logging("info", "json")
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(60)
        told = records(capsys)
        assert [one["message"].partition(":")[0] for one in told] == ["caches synced", "Published", "Succeeded"]
        assert told[1]["object"] == "messaging/flows"
        assert told[1]["message"].endswith("to +…0001, +…0002, +…0003")
        assert len({one["reconcileID"] for one in told[1:]}) == 1
        assert not any("number" in one for one in told)
        await asyncio.sleep(DAY)
    assert records(capsys) == []


@virtual_time
async def test_a_loss_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """When it has been made good."""
    set_up_logging("info", "json")
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(5)
        records(capsys)
        world.phones[number(1)].lose_signature()
        await asyncio.sleep(300)
    (told,) = records(capsys)
    assert (told["level"], told["object"]) == ("warning", "messaging/flows")
    assert told["message"] == "StaleSignature: the signature was no longer VALID on +…0001; published the key again"


@virtual_time
async def test_errors_name_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    """The object, the number, and the reconcile in which they happened."""
    set_up_logging("info", "json")
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    world.phones[number(1)].error = RuntimeError("not foreseen")
    async with world.operator():
        await asyncio.sleep(1)
        world.objects.error = unavailable()
        world.objects.edit(ref, intervalSeconds=700)
        await asyncio.sleep(10)
    told = records(capsys)
    unforeseen = next(one for one in told if one["message"] == "unexpected error during an API call")
    assert (unforeseen["object"], unforeseen["number"]) == ("messaging/flows", "+…0001")
    assert unforeseen["reconcileID"]
    away = [one for one in told if one["message"] == "objects: the API server cannot be reached"]
    assert len(away) >= 2
    assert {one["object"] for one in away} == {"messaging/flows"}
    assert len({one["reconcileID"] for one in away}) == len(away)
    assert {one["level"] for one in away} == {"warning"}
    assert not any("number" in one for one in away)
