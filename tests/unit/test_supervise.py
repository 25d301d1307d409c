"""What must not end by itself: its end is an error with its name, and ends all else."""

import asyncio
from typing import Any

import pytest

from bek_operator.supervise import Ended, supervise


async def returning() -> None:
    """End at once."""


async def failing() -> None:
    """Fail at once."""
    raise OSError("broken")


async def cancelled_inside() -> None:
    """Wait for something that was cancelled."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


class Lasting:
    """Runs until it is cancelled, and cleans up."""

    def __init__(self) -> None:
        self.cleaned_up = False

    async def run(self) -> None:
        """Run."""
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned_up = True


@pytest.mark.parametrize("work", [returning, cancelled_inside])
async def test_what_ends_by_itself_is_named(work: Any) -> None:
    """All else is ended in good order before that is told."""
    lasting = Lasting()
    with pytest.raises(ExceptionGroup) as raised:
        await supervise({"informer": work(), "watch": lasting.run()})
    (ended,) = raised.value.exceptions
    assert isinstance(ended, Ended)
    assert str(ended) == "informer: ended by itself"
    assert lasting.cleaned_up


async def test_what_fails_is_told_as_it_is() -> None:
    """Its own error says more than its name."""
    lasting = Lasting()
    with pytest.raises(ExceptionGroup) as raised:
        await supervise({"informer": failing(), "watch": lasting.run()})
    assert [str(one) for one in raised.value.exceptions] == ["broken"]
    assert lasting.cleaned_up


async def test_a_task_that_somebody_cancels_is_named() -> None:
    """It carries its name as a task."""
    lasting = Lasting()
    running = asyncio.create_task(supervise({"informer": lasting.run(), "watch": Lasting().run()}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    next(one for one in asyncio.all_tasks() if one.get_name() == "informer").cancel()
    with pytest.raises(ExceptionGroup) as raised:
        await running
    assert [str(one) for one in raised.value.exceptions] == ["informer: ended by itself"]


async def test_a_cancellation_from_outside_is_none_of_that() -> None:
    """Everything is cancelled, and nothing is an error; unless something fails meanwhile."""
    lasting = Lasting()
    running = asyncio.create_task(supervise({"watch": lasting.run()}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert lasting.cleaned_up


async def test_what_fails_while_it_is_cancelled_is_told() -> None:
    """Its error is not lost in the clean-up of who is supervised, which takes as long as it takes."""
    cleaned_up = False

    async def failing_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("broken")

    async def supervised() -> None:
        nonlocal cleaned_up
        try:
            await supervise({"leadership": failing_at_its_end()})
        finally:
            await asyncio.sleep(0)
            cleaned_up = True

    running = asyncio.create_task(supervised())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(ExceptionGroup) as raised:
        await running
    assert [str(one) for one in raised.value.exceptions] == ["broken"]
    assert cleaned_up
