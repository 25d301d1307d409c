"""Logging: one line for each record, as text or as JSON."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from bek_operator.times import rfc3339

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "settings"}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_about: Final[ContextVar[Mapping[str, str]]] = ContextVar("about", default=_NOTHING)
_TALKATIVE = ("aiohttp", "asyncio", "hpack", "httpcore", "httpx", "kopf.objects", "kubernetes")
# Kopf's account of how its tasks end: a traceback from each. Whoever runs it says why in one line.
_TOLD_BY_US = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Say what is worked on: every line that is logged inside has these fields, as if each record were given them.

    That holds for the tasks that are begun inside, too. A record's own field of the same name goes first.
    """
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def set_up_logging(level: str, form: str) -> None:
    """Send every record to standard error.

    Libraries are kept at warnings: at lower levels they print URLs and headers, or a line for every event.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("kopf").setLevel(max(logging.INFO, root.level))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    own = {
        name: value
        for name, value in record.__dict__.items()
        if name not in _PLAIN and not name.startswith(("_", "k8s"))
    }
    return {**_about.get(), **own}


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
