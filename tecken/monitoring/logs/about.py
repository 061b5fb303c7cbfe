"""Which request, and which job, the lines of this thread are about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import urandom

from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,59}")


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Lines until the end have these fields; those of an outer `about` too."""
    tokens = bind_contextvars(**ids)
    try:
        yield
    finally:
        reset_contextvars(**tokens)


def request_id(offered: str) -> str:
    """What a proxy or client calls the request when that is at most 60 plain characters, else a new one."""
    return offered if SANE.fullmatch(offered) else urandom(8).hex()


def current_request() -> str:
    """The id of the request that this thread works for, at first or second hand; empty for none."""
    return str(get_contextvars().get("request_id", ""))
