"""Texts for failed commands, in our own words: clients read them, and Redis' own may quote a command."""

from __future__ import annotations

import redis

# How errors of a server begin that answers and keeps nothing: its disk is full, or its replicas are gone.
_KEEPS_NOTHING = ("MISCONF", "NOREPLICAS")


def problem(error: Exception, server: str = "redis-cache") -> str:
    """Return one sentence; the text of `error` belongs in the log."""
    if isinstance(error, redis.ReadOnlyError | redis.exceptions.OutOfMemoryError) or (
        isinstance(error, redis.ResponseError) and any(code in str(error) for code in _KEEPS_NOTHING)
    ):
        return f"{server} answers, but takes no writes"
    if isinstance(error, redis.ResponseError):
        return f"{server} refuses a command"
    return f"{server} does not answer"
