"""Logging to standard error, one line for each record, as text or JSON; phone numbers are masked unless that is off."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from bek_operator.times import rfc3339

_STANDARD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "settings"}
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})
_fields: Final[ContextVar[Mapping[str, str]]] = ContextVar("log_fields", default=_NO_FIELDS)
_VERBOSE_LOGGERS = ("aiohttp", "asyncio", "hpack", "httpcore", "httpx", "kopf.objects", "kubernetes")
# Kopf logs a traceback for each task that ends; controller/watch.py logs the cause in one line.
_SILENCED_LOGGERS = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")
# Kopf logs an error for each failed request that it tries again, so every few seconds in an outage.
_RETRYING_LOGGERS = ("kopf._cogs.clients.watching", "kopf._core.reactor.observation")
_RETRY = "Request attempt"
_RETRY_SECONDS = 60.0

# With "+" as in a spec; without it in a host's name. An id of a key may consist of digits alone.
_PHONE_NUMBER = re.compile(r"(?:\+[1-9][0-9]{6,14}|(?<![A-Za-z0-9+])(?<!key )[1-9][0-9]{8,14})(?![A-Za-z0-9])")
_NEVER_MASKED = frozenset({"object", "reconcileID"})


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Add fields to every line that is logged inside, also by tasks that are created inside.

    A record's own field of the same name takes precedence.
    """
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def set_up_logging(level: str, form: str, *, numbers: bool = False) -> None:
    """Send all records to standard error; `numbers` shows whole phone numbers, otherwise their last four digits.

    Libraries log warnings and above only: below that they print URLs and headers, or a line for every event.
    """
    handler = logging.StreamHandler(sys.stderr)
    shown = _whole if numbers else masked
    handler.setFormatter(_Json(shown) if form == "json" else _Text(shown))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _RETRYING_LOGGERS:
        logging.getLogger(name).filters[:] = [_OneRetryAMinute(root)]
    # Below that it tells of every login, and of its own parts.
    logging.getLogger("kopf").setLevel(
        logging.INFO if root.level <= logging.DEBUG else max(logging.WARNING, root.level)
    )


def masked(text: str) -> str:
    """Return a text in which of every phone number only the last four digits are left."""
    return _PHONE_NUMBER.sub(lambda found: f"{'+' if found[0][0] == '+' else ''}…{found[0][-4:]}", text)


def _whole(text: str) -> str:
    return text


class _OneRetryAMinute(logging.Filter):
    """Lets one failed request a minute pass, as a warning."""

    def __init__(self, root: logging.Logger) -> None:
        super().__init__()
        self._root = root
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(_RETRY):
            return True
        if record.created < self._next:
            return False
        self._next = record.created + _RETRY_SECONDS
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return record.levelno >= self._root.level


def _extras(record: logging.LogRecord, shown: Callable[[str], str]) -> dict[str, str | float]:
    """Return the fields of a record; counts and durations stay numbers, so that JSON logs can be searched by them."""
    own = {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD_ATTRIBUTES and not name.startswith(("_", "k8s"))
    }
    fields = {**_fields.get(), **own}
    return {
        name: str(value) if name in _NEVER_MASKED else _masked_value(value, shown) for name, value in fields.items()
    }


def _masked_value(value: object, shown: Callable[[str], str]) -> str | float:
    text = shown(str(value))
    return value if isinstance(value, int | float) and text == str(value) else text


class _Json(logging.Formatter):
    def __init__(self, shown: Callable[[str], str]) -> None:
        super().__init__()
        self._shown = shown

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._shown(record.getMessage()),
            **_extras(record, self._shown),
        }
        if record.exc_info:
            line["exception"] = self._shown(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    def __init__(self, shown: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._shown = shown

    def format(self, record: logging.LogRecord) -> str:
        head, newline, rest = self._shown(super().format(record)).partition("\n")
        extras = " ".join(f"{name}={value}" for name, value in _extras(record, self._shown).items())
        return f"{head} {extras}".rstrip() + newline + rest
