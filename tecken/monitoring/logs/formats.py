"""Formatters of both forms of a line. They have the same fields, and remove secrets."""

from __future__ import annotations

import logging
import os
from functools import cache

import orjson
from django.conf import settings
from structlog.contextvars import merge_contextvars
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from tecken.monitoring import degraded
from tecken.monitoring.logs.masking import mask_secrets
from tecken.runtimeconfig import current

REQUEST_FIELDS = ("method", "path", "status", "seconds", "bytes", "address", "token")
FIRST = ("time", "level", "logger", "event")
# Fields with text of clients, servers and libraries.
FOREIGN = ("event", "exception", "stack", "path")
IN_A_LINE = ("request_id", "task_id", "state")


def formatter(shape: str = "") -> logging.Formatter:
    """Return the formatter of `line` or `json`; the default is LOG_FORMAT."""
    return ProcessorFormatter(
        foreign_pre_chain=[
            TimeStamper("iso", utc=True, key="time"),
            add_log_level,
            add_logger_name,
            merge_contextvars,
            ExtraAdder(REQUEST_FIELDS),
            _add_job_id,
            _add_process_state,
            format_exc_info,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _mask_event,
            SHAPES[shape or settings.LOG_FORMAT],
        ],
    )


class OnlyTracebacks(logging.Filter):
    """Filter that keeps tracebacks of Django's lines on requests; the status is in our own line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record has a traceback."""
        return bool(record.exc_info)


class WithoutTraceback(logging.Filter):
    """Filter that drops tracebacks of lines which any client can cause."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the traceback and keep the record."""
        record.exc_info = record.exc_text = None
        return True


class Routine(logging.Filter):
    """Filter that lowers Celery's lines about scheduled jobs to DEBUG: there are dozens of them a minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lower the level of a scheduled job's record, and return whether it is still written."""
        if record.levelno != logging.INFO or not _is_routine(record):
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)


def _is_routine(record: logging.LogRecord) -> bool:
    # Celery's own scheduler, which a demo runs, has only the text.
    if str(record.msg).startswith("Scheduler: Sending due task"):
        return True
    data = getattr(record, "data", None)
    return isinstance(data, dict) and data.get("name") in _scheduled_tasks()


@cache
def _scheduled_tasks() -> frozenset[str]:
    return frozenset(str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values())


def _add_job_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Celery also logs jobs in processes that do not run them.
    data = getattr(event["_record"], "data", None)
    if isinstance(data, dict) and "id" in data:
        event.setdefault("task_id", data["id"])
    return event


def _add_process_state(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.update(config_version=current.version(), state=degraded.states_text(), pid=os.getpid())
    return event


def _mask_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: mask_secrets(value) if key in FOREIGN else value for key, value in event.items()}


def _format_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in FIRST if key in event}
    return orjson.dumps({**first, **event}, default=str).decode()


def _format_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    # Control characters are escaped, so that text of a request cannot forge a line.
    text = str(event["event"])
    if not text.isprintable():
        text = text.encode("unicode_escape").decode()
    ids = "".join(f" {key}={event[key]}" for key in IN_A_LINE if event.get(key) not in (None, "", "ok"))
    start = f"{event['time']} {event['level'].upper()} {event['logger']} [v{event['config_version']}]: "
    trace = f"\n{event['exception']}" if event.get("exception") else ""
    return f"{start}{text}{ids}{trace}"


SHAPES: dict[str, Processor] = {"line": _format_line, "json": _format_json}
