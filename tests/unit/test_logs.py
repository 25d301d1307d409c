"""Logs: one line for each record, and from libraries only what is safe."""

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from bek_operator.logs import about, set_up_logging

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


def test_a_json_line_holds_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Of any type; a traceback is in the same line."""
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
        "ms": 5,
    }
    assert second["level"] == "error"
    assert "RuntimeError: not foreseen" in second["exception"]


def test_a_text_line_ends_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
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
    """Lower levels are not printed."""
    set_up_logging("warning", "json")
    log.info("dropped")
    log.warning("printed")
    assert [one["message"] for one in records(capsys)] == ["printed"]


@pytest.mark.parametrize(
    "name", ["httpx", "httpcore.connection", "kubernetes.aio.client.rest", "aiohttp.access", "aiohttp.client"]
)
def test_libraries_log_warnings_only(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Even at level debug: below that they print URLs and headers."""
    set_up_logging("debug", "json")
    logging.getLogger(name).info("GET /secret")
    logging.getLogger(name).warning("printed")
    assert [one["message"] for one in records(capsys)] == ["printed"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("published key 0123456789ab to +15550001111, +4915550002222", "published key 0123456789ab to +…1111, +…2222"),
        ("https://whatsapp-15550001111.messaging.svc:443", "https://whatsapp-…1111.messaging.svc:443"),
        ("1 of 3 numbers: wa.15550001111 is away (+15550001111)", "1 of 3 numbers: wa.…1111 is away (+…1111)"),
        (
            "signed with key 123456789012; HTTP 400, code 2494010",
            "signed with key 123456789012; HTTP 400, code 2494010",
        ),
        ("sha256:1234567890abcdef of Secret flows-20261128", "sha256:1234567890abcdef of Secret flows-20261128"),
        ("2026-11-28T02:17:57Z after 86400 s, at +1 h", "2026-11-28T02:17:57Z after 86400 s, at +1 h"),
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_phone_numbers_are_masked(capsys: pytest.CaptureFixture[str], form: str, text: str, shown: str) -> None:
    """To their last four digits, in messages, fields and tracebacks; not in an object's name, nor if that is off."""
    set_up_logging("info", form)
    log.info(text, extra={"limiter": text, "object": "messaging/15550001111"})
    log.error("broken", exc_info=RuntimeError(text))
    out = "\n".join(lines(capsys))
    assert out.count(shown) == 3
    assert (text in out) == (text == shown)
    assert "messaging/15550001111" in out
    set_up_logging("info", form, numbers=True)
    log.info(text)
    assert text in lines(capsys)[0]


def retry(logger: str, at: float, message: str = "Request attempt #3 failed; will retry: GET /apis") -> None:
    """Log an error as kopf does for a request that it tries again."""
    record = logging.LogRecord(logger, logging.ERROR, "api.py", 1, message, None, None)
    record.created = at
    logging.getLogger(logger).handle(record)


def test_kopfs_retries_are_a_warning_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """An outage is no flood of errors; what else goes wrong is one."""
    set_up_logging("info", "json")
    for seconds in range(0, 150, 15):
        retry("kopf._cogs.clients.watching", 1000.0 + seconds)
    retry("kopf._cogs.clients.watching", 1001.0, "something else")
    found = records(capsys)
    assert [one["level"] for one in found] == ["warning"] * 3 + ["error"]
    assert [one["time"][-6:-1] for one in found[:3]] == ["16:40", "17:40", "18:40"]
    set_up_logging("error", "json")
    retry("kopf._core.reactor.observation", 2000.0)
    assert records(capsys) == []


def test_kopf_is_quiet_while_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """It logs in again every few minutes, which is nothing that happened."""
    set_up_logging("info", "json")
    logging.getLogger("kopf._core.engines.activities").info("Re-authentication has finished.")
    logging.getLogger("kopf._core.engines.activities").warning("Login has failed.")
    assert [one["message"] for one in records(capsys)] == ["Login has failed."]


def test_kopf_logs_no_line_for_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Its other messages are printed at level debug."""
    set_up_logging("debug", "json")
    logging.getLogger("kopf.objects").info("Handler 'event' succeeded.")
    logging.getLogger("kopf.activities.startup").debug("Activity 'settings' succeeded.")
    logging.getLogger("kopf._core.engines.activities").info("Initial authentication has finished.")
    logging.getLogger("kopf.objects").error("broken")
    assert [one["message"] for one in records(capsys)] == ["Initial authentication has finished.", "broken"]


def test_fields_that_kopf_adds_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Its settings and object references."""
    set_up_logging("info", "json")
    log.info("message", extra={"settings": object(), "k8s_ref": {}, "k8s_skip": True, "_own": 1})
    assert set(records(capsys)[0]) == {"time", "level", "logger", "message"}


def test_fields_are_added_to_every_line_inside(capsys: pytest.CaptureFixture[str]) -> None:
    """Of any logger; nested fields add up, and a record's own field takes precedence."""
    set_up_logging("info", "json", numbers=True)
    with about(object="messaging/flows"):
        with about(number="+15550001111"):
            logging.getLogger("somebody.else").warning("inside")
            log.info("own", extra={"object": "own", "ms": 5})
        log.info("between")
    log.info("outside")
    inside, own, between, outside = records(capsys)
    assert (inside["object"], inside["number"]) == ("messaging/flows", "+15550001111")
    assert (own["object"], own["number"], own["ms"]) == ("own", "+15550001111", 5)
    assert (between["object"], "number" in between) == ("messaging/flows", False)
    assert not {"object", "number"} & outside.keys()


def test_a_text_line_has_the_fields_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """At its end."""
    set_up_logging("info", "text", numbers=True)
    with about(object="messaging/flows", number="+15550001111"):
        log.info("called", extra={"ms": 5})
    assert lines(capsys)[0].endswith("called object=messaging/flows number=+15550001111 ms=5")


async def test_each_task_has_its_own_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Child tasks inherit them, and concurrent tasks do not mix them."""
    set_up_logging("info", "json")
    both = asyncio.Barrier(2)

    async def work(number: str) -> None:
        with about(number=number):
            await both.wait()
            await asyncio.create_task(call(number))
            await both.wait()
            log.info(number)

    async def call(number: str) -> None:
        log.info(number)

    await asyncio.gather(work("+1"), work("+2"))
    log.info("None")
    found = records(capsys)
    assert len(found) == 5
    assert all(str(one.get("number")) == one["message"] for one in found)


def test_an_exception_removes_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Later lines do not have them."""
    set_up_logging("info", "json")
    with pytest.raises(RuntimeError), about(number="+15550001111"):
        fail()
    log.info("after")
    assert "number" not in records(capsys)[0]


def test_other_formatters_see_unchanged_records(caplog: pytest.LogCaptureFixture) -> None:
    """The fields are added by the operator's formatters only."""
    with about(object="messaging/flows", name="taken"), caplog.at_level(logging.INFO):
        log.info("message", extra={"object": "own"})
    assert [(one.name, one.__dict__["object"], one.getMessage()) for one in caplog.records] == [
        ("bek_operator.test", "own", "message")
    ]


@pytest.mark.parametrize("name", ["kopf._core.reactor.orchestration", "kopf._core.reactor.running"])
def test_tracebacks_of_kopfs_tasks_are_silenced(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Kopf logs one for each task that ends with another."""
    set_up_logging("debug", "json")
    logging.getLogger(name).error("Watcher for … has failed")
    assert records(capsys) == []
