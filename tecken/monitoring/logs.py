"""Log lines: the request and job that they are about, both of their forms, and the removal of secrets.

The project uses `logging`, as its libraries do. docs/logs.md has the fields. Both forms of a line have the
same fields. The id of a request is part of the messages of its jobs, so that the log lines of a job name the
request that led to it. Secrets are those of the settings, and others by their form.

A line must not contain a secret, and text of a request must not start a second line. Writing one must not
contact a server: the configuration version and the degraded states are read from memory.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http import HTTPStatus
from os import urandom
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from structlog.contextvars import bind_contextvars, get_contextvars, merge_contextvars, reset_contextvars
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from tecken.accounts.addresses import address
from tecken.errors import MASK, redact_text
from tecken.monitoring import degraded
from tecken.runtimeconfig import current
from tecken.runtimeconfig.current import options

PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,59}")
HEADER = "request_id"


@contextmanager
def log_context(**ids: str) -> Iterator[None]:
    """Add fields to the lines written inside, besides those of an outer context."""
    tokens = bind_contextvars(**ids)
    try:
        yield
    finally:
        reset_contextvars(**tokens)


def choose_request_id(offered: str) -> str:
    """Return the id that a proxy or client sent if it is at most 60 plain characters, else a new one."""
    return offered if PLAIN_ID.fullmatch(offered) else urandom(8).hex()


def current_request_id() -> str:
    """Return the id of the request that led to the work of this thread; empty without one."""
    return str(get_contextvars().get("request_id", ""))


@setup_logging.connect  # type: ignore[untyped-decorator]
def keep_logging(**_more: object) -> None:
    """Keep Django's handlers: without a receiver, Celery adds handlers with a format of its own."""


@before_task_publish.connect  # type: ignore[untyped-decorator]
def add_request_id(headers: dict[str, Any], **_more: object) -> None:
    """Add the id to a message. A job passes on the id of the request that led to it."""
    if request_id := current_request_id():
        headers[HEADER] = request_id


@task_prerun.connect  # type: ignore[untyped-decorator]
def enter_context(task_id: str, task: Any, **_more: object) -> None:
    """Begin the log context of a job."""
    request_id = task.request.get(HEADER)
    ids = {HEADER: request_id} if request_id else {}
    task.request.log_context = log_context(task_id=task_id, **ids)
    # The start and the end of a job are two signals, so no `with` block can surround it.
    task.request.log_context.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def exit_context(task: Any, **_more: object) -> None:
    """End the log context of a job."""
    task.request.log_context.__exit__(None, None, None)


logger = logging.getLogger("tecken.requests")


def log_request(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """Log a request. `seconds` passed until the head of the response; the query is not logged."""
    is_failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if is_failed or options().log_requests:
        level = logging.ERROR if is_failed else logging.INFO
        arguments = (request.method, request.path, response.status_code)
        logger.log(level, "%s %s %d", *arguments, extra=_fields(request, response, seconds))


def _fields(request: HttpRequest, response: HttpResponseBase, seconds: float) -> dict[str, object]:
    length = response.headers.get("Content-Length")
    token = getattr(request, "subject", None) and request.subject.token  # type: ignore[attr-defined]
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "seconds": round(seconds, 6),
        "bytes": int(length) if length else None,
        "address": address(request),
        "token": token,
    }
    return {name: value for name, value in fields.items() if value is not None}


# Forms of a line

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
            RENDERERS[shape or settings.LOG_FORMAT],
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


RENDERERS: dict[str, Processor] = {"line": _format_line, "json": _format_json}


# Secrets

TOKEN_CHARACTERS = 64
# A shorter secret would also be found in ordinary words.
MIN_SECRET_CHARACTERS = 8
NAMES = ("SECRET_KEY", "OIDC_RP_CLIENT_SECRET")
URLS = ("DATABASE_URL", "REDIS_URL", "REDIS_STORE_URL", "STORAGE_URL", "TRY_STORAGE_URL", "SENTRY_DSN")
SECRET_NAME = re.compile(r"(?i)pass|secret|key|token|sig")
# Possessive quantifiers (`*+`, `++`) never backtrack, so a client cannot send a text that takes long to mask.
SECRET_SHAPES = (
    # A token. Pages show its first eight characters too.
    (re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b"), rf"\1{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:set-)?cookie|authorization|auth-token|x-csrftoken)\b(['\"]?\s*+[:=]\s*+['\"]?)[^'\"\r\n]++"
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"(?i)(password|passwd|secret|secret_key|sessionid|csrftoken|csrfmiddlewaretoken|signature"
            r"|security-token|x-amz-credential|x-goog-credential)(['\"]?\s*+[:=]\s*+['\"]?)[^\s'\",;&]++"
        ),
        rf"\1\2{MASK}",
    ),
)


def mask_secrets(text: str) -> str:
    """Return `text` with `***` for each secret."""
    if pattern := _secrets_pattern():
        text = pattern.sub(MASK, text)
    text = redact_text(text)
    if len(text) >= TOKEN_CHARACTERS or ":" in text or "=" in text:
        for shape, replacement in SECRET_SHAPES:
            text = shape.sub(replacement, text)
    return text


def mask_deeply(value: Any) -> Any:
    """Return `value` with every text in it masked, also in lists and dictionaries."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: mask_deeply(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_deeply(item) for item in value]
    return value


@cache
def _secrets_pattern() -> re.Pattern[str] | None:
    # The longest first, so that a secret which contains another one is removed whole.
    found = sorted({text for text in _secrets() if len(text) >= MIN_SECRET_CHARACTERS}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _secrets() -> Iterator[str]:
    for name in NAMES:
        # Django raises this for a SECRET_KEY that is not set.
        with suppress(ImproperlyConfigured):
            yield str(getattr(settings, name, ""))
    for name in URLS:
        yield from _secrets_in_url(str(getattr(settings, name, "")))


def _secrets_in_url(url: str) -> Iterator[str]:
    """Yield the password, or else the user name, and secret values of the query, as written and decoded."""
    parts = urlsplit(url)
    password = parts.username if parts.password is None else parts.password
    query = (pair.partition("=") for pair in parts.query.split("&"))
    for text in (password or "", *(value for name, _, value in query if SECRET_NAME.search(name))):
        yield from (text, unquote(text))
