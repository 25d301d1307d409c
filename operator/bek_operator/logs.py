"""Logging to standard error, one line for each record, as text or JSON."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from bek_operator.times import rfc3339

_STANDARD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "settings"}
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})
_fields: Final[ContextVar[Mapping[str, str]]] = ContextVar("log_fields", default=_NO_FIELDS)
_VERBOSE_LOGGERS = ("aiohttp", "asyncio", "hpack", "httpcore", "httpx", "kopf.objects", "kubernetes")
# Kopf logs a traceback for each task that ends; controller/watch.py logs the cause in one line.
_SILENCED_LOGGERS = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")


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


def set_up_logging(level: str, form: str) -> None:
    """Send all records to standard error.

    Libraries log warnings and above only: below that they print URLs and headers, or a line for every event.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("kopf").setLevel(max(logging.INFO, root.level))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    own = {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD_ATTRIBUTES and not name.startswith(("_", "k8s"))
    }
    return {**_fields.get(), **own}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: str(value) for name, value in _extras(record).items()},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        head, newline, rest = super().format(record).partition("\n")
        extras = " ".join(f"{name}={value}" for name, value in _extras(record).items())
        return f"{head} {extras}".rstrip() + newline + rest
