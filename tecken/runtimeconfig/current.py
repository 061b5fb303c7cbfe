"""The configuration of this process: `options()` is what a request or a job reads."""

from __future__ import annotations

from contextvars import ContextVar

from tecken.runtimeconfig.options import Options

_pinned: ContextVar[Options | None] = ContextVar("options", default=None)
_latest = Options()


def options() -> Options:
    """The values of this request or job, else the newest ones."""
    return _pinned.get() or _latest
