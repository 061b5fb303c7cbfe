"""Request and job that the log lines of this thread are about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import urandom

from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,59}")


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
