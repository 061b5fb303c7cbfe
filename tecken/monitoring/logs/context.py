"""Request and job that the log lines of this thread are about.

The id of a request is part of the messages of its jobs, so that the log lines of a job name the request that
led to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import urandom
from typing import Any

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

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
    task.request.log_context.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def exit_context(task: Any, **_more: object) -> None:
    """End the log context of a job."""
    task.request.log_context.__exit__(None, None, None)
