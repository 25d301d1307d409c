"""Logs: one line for each record, and no more of other people's than is safe."""

import json
import logging
import re
from typing import Any

import pytest

from bek_operator.logs import set_up_logging

pytestmark = pytest.mark.usefixtures("logging_untouched")

log = logging.getLogger("bek_operator.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was logged; it goes to standard error."""
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged as JSON."""
    return [json.loads(line) for line in lines(capsys)]


def fail() -> None:
    """Fail."""
    raise RuntimeError("not foreseen")


def test_a_line_of_json_holds_the_message_and_what_goes_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its type; a traceback is in the same line."""
    set_up_logging("info", "json")
    log.info("signed %s", "a number", extra={"object": ("messaging", "flows"), "ms": 5})
    try:
        fail()
    except RuntimeError:
        log.exception("broken")
    first, second = records(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first == {
        "level": "info",
        "logger": "bek_operator.test",
        "message": "signed a number",
        "object": "('messaging', 'flows')",
        "ms": "5",
    }
    assert second["level"] == "error"
    assert "RuntimeError: not foreseen" in second["exception"]


def test_a_line_of_text_ends_with_what_goes_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback follows on lines of its own."""
    set_up_logging("info", "text")
    log.warning("slow", extra={"ms": 5})
    try:
        fail()
    except RuntimeError:
        log.exception("broken", extra={"number": "+1555"})
    first, second, *rest = lines(capsys)
    assert first.endswith("WARNING bek_operator.test: slow ms=5")
    assert second.endswith("ERROR   bek_operator.test: broken number=+1555")
    assert rest[-1] == "RuntimeError: not foreseen"


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """What is less grave is not printed."""
    set_up_logging("warning", "json")
    log.info("unheard")
    log.warning("heard")
    assert [one["message"] for one in records(capsys)] == ["heard"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "kubernetes.aio.client.rest", "aiohttp.access"])
def test_libraries_that_print_urls_and_headers_are_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Even at the level debug, up to warnings."""
    set_up_logging("debug", "json")
    logging.getLogger(name).info("GET /secret")
    logging.getLogger(name).warning("heard")
    assert [one["message"] for one in records(capsys)] == ["heard"]


def test_kopf_says_nothing_of_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says of itself is printed, but for debugging of kopf."""
    set_up_logging("debug", "json")
    logging.getLogger("kopf.objects").info("Handler 'hint' succeeded.")
    logging.getLogger("kopf.activities.startup").debug("Activity 'settings' succeeded.")
    logging.getLogger("kopf._core.reactor.running").info("Signal SIGTERM is received.")
    logging.getLogger("kopf.objects").error("broken")
    assert [one["message"] for one in records(capsys)] == ["Signal SIGTERM is received.", "broken"]


def test_what_kopf_attaches_for_itself_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings and object references are no news to anybody."""
    set_up_logging("info", "json")
    log.info("told", extra={"settings": object(), "k8s_ref": {}, "k8s_skip": True, "_own": 1})
    assert set(records(capsys)[0]) == {"time", "level", "logger", "message"}
