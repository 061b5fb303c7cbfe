"""Options that are in force now, in the shapes in which the long-lived parts ask for them."""

from __future__ import annotations

import logging

from tecken.modules import known, prepare
from tecken.runtimeconfig.current import on_change, options
from tecken.sources.patience import Patience


def patience() -> Patience:
    now = options()
    return Patience(now.source_timeout_seconds, now.source_deadline_seconds, now.symbol_max_bytes)


def symbol_bytes() -> int:
    return options().symbol_max_bytes


def lifetimes() -> prepare.Lifetimes:
    """Of a module's "no"."""
    now = options()
    return prepare.Lifetimes(now.absent_seconds, now.malformed_seconds, now.unreachable_seconds)


def file_lifetimes() -> known.Lifetimes:
    now = options()
    return known.Lifetimes(now.download_known_seconds, now.absent_seconds, now.unreachable_seconds)


def header_seconds() -> float:
    return options().process_header_seconds


def sources_off() -> tuple[str, ...]:
    return options().sources_off


def follow_log_level() -> None:
    """From now on the root logger has the level in force."""
    on_change("log_level", logging.getLogger().setLevel)
