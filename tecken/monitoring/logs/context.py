"""Request and job that the log lines of this thread are about.

The id of a request is part of the messages of its jobs, so that the log lines of a job name the request that
led to it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from os import urandom
from typing import Any

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

from tecken.accounts.addresses import address
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
