"""Options that are in force now, in the shapes in which the long-lived parts ask for them."""

from __future__ import annotations

import logging
from functools import lru_cache

from tecken.limits import text
from tecken.limits.port import Limit, Scope, Without
from tecken.runtimeconfig.current import on_change, options
from tecken.storage import presence_cache
from tecken.storage.port import FetchLimits
from tecken.symbolication.conversion import converter


def patience() -> FetchLimits:
    now = options()
    return FetchLimits(now.source_timeout_seconds, now.source_deadline_seconds, now.symbol_max_bytes)


def symbol_bytes() -> int:
    return options().symbol_max_bytes


def lifetimes() -> converter.Lifetimes:
    """Of a module's "no"."""
    now = options()
    return converter.Lifetimes(now.absent_seconds, now.malformed_seconds, now.unreachable_seconds)


def file_lifetimes() -> presence_cache.Lifetimes:
    now = options()
    return presence_cache.Lifetimes(now.download_known_seconds, now.absent_seconds, now.unreachable_seconds)


def client_places() -> int:
    """Return how many cold modules of one client workers may have at a time."""
    return options().symbolicate_client_cold_modules


def header_seconds() -> float:
    return options().process_header_seconds


def sources_off() -> tuple[str, ...]:
    return options().sources_off


def limits(scope: Scope) -> tuple[Limit, ...]:
    now = options()
    return _limits(scope, getattr(now, f"limit_{scope}"), getattr(now, f"limit_{scope}_without_redis"))


@lru_cache(maxsize=64)
def _limits(scope: Scope, texts: tuple[str, ...], without: Without) -> tuple[Limit, ...]:
    return tuple(text.limit(one, scope, without) for one in texts)


def follow_log_level() -> None:
    """From now on the root logger has the level in force."""
    on_change("log_level", logging.getLogger().setLevel)
