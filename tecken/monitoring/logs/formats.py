"""The two shapes of a line. Both have the same fields, and neither lets a secret through."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any

import orjson
from django.conf import settings
from structlog.contextvars import merge_contextvars
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from tecken.monitoring import degraded
from tecken.monitoring.logs.masking import masked
from tecken.runtimeconfig import current

REQUEST_FIELDS = ("method", "path", "status", "seconds", "bytes", "address", "token")
FIRST = ("time", "level", "logger", "event")
FOREIGN = ("event", "exception", "stack", "path")  # what others have made a part of
IN_A_LINE = ("request_id", "task_id", "state")


def formatter(shape: str = "") -> logging.Formatter:
    """`line` or `json`; LOG_FORMAT says which, unless it is given."""
    return ProcessorFormatter(
        foreign_pre_chain=[
            TimeStamper("iso", utc=True, key="time"),
            add_log_level,
            add_logger_name,
            merge_contextvars,
            ExtraAdder(REQUEST_FIELDS),
            _of_the_job,
            _of_the_process,
            format_exc_info,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _without_secrets,
            SHAPES[shape or settings.LOG_FORMAT],
        ],
    )


class OnlyMistakes(logging.Filter):
    """Of Django's own lines on requests: a traceback is news, a status is in our line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


class WithoutTraceback(logging.Filter):
    """Filter that drops tracebacks of lines which any client can cause."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


class Routine(logging.Filter):
    """Filter that lowers Celery's lines about scheduled jobs to DEBUG: there are dozens of them a minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.INFO or not _is_routine(record):
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)


def _is_routine(record: logging.LogRecord) -> bool:
    # Celery's own scheduler, which a demo runs, has only the text.
    if str(record.msg).startswith("Scheduler: Sending due task"):
        return True
    data = getattr(record, "data", None)
    return isinstance(data, dict) and data.get("name") in _scheduled()


@cache
def _scheduled() -> frozenset[str]:
    return frozenset(str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values())


def _of_the_job(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Celery tells of a job also from a process that does not run it."""
    data = getattr(event["_record"], "data", None)
    if isinstance(data, dict) and "id" in data:
        event.setdefault("task_id", data["id"])
    return event


def _of_the_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.update(config_version=current.version(), state=degraded.states_text(), pid=os.getpid())
    return event


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: masked(value) if key in FOREIGN else value for key, value in event.items()}


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in FIRST if key in event}
    return orjson.dumps({**first, **event}, default=str).decode()


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Whatever stands in the text of one event stays in one line; a traceback follows in its own."""
    said = str(event["event"]).encode("unicode_escape").decode() if _odd(event["event"]) else event["event"]
    ids = "".join(f" {key}={event[key]}" for key in IN_A_LINE if event.get(key) not in (None, "", "ok"))
    start = f"{event['time']} {event['level'].upper()} {event['logger']} [v{event['config_version']}]: "
    trace = f"\n{event['exception']}" if event.get("exception") else ""
    return f"{start}{said}{ids}{trace}"


def _odd(text: Any) -> bool:
    return not str(text).isprintable()


SHAPES: dict[str, Processor] = {"line": _line, "json": _json}
