"""Changes of the runtime configuration as they happen, for `config watch`."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

from tecken.errors import CouldNotAsk
from tecken.management.configuration import format_changes
from tecken.runtimeconfig.backend import ConfigBackend, Values
from tecken.runtimeconfig.history import database, difference, find_version

POLL_SECONDS = 1.0
PAUSE_SECONDS = 1.0


def watch_lines(backend: ConfigBackend) -> Generator[str]:
    """Yield a line for each change, without end; one for an outage, after which it continues."""
    last: Values | None = None
    is_reachable = True
    while True:
        try:
            for values in _versions(backend, last):
                is_reachable = True
                yield _line(last, values)
                last = values
        except CouldNotAsk as error:
            if is_reachable:
                yield f"{_clock()} {error}; waiting"
            is_reachable = False
            time.sleep(PAUSE_SECONDS)


def _versions(backend: ConfigBackend, last: Values | None) -> Iterator[Values]:
    """Yield each version that differs from the one before; a lost message costs one poll."""
    with backend.subscribe() as subscription:
        while True:
            values = backend.read()
            if last is None or values != last:
                yield values
                last = values
            subscription.next(POLL_SECONDS)


def _line(last: Values | None, values: Values) -> str:
    if last is None:
        return f"{_clock()} version {values.version}; watching, Ctrl-C ends it"
    changes = format_changes(difference(last.texts, values.texts)) or "the same values"
    return f"{_clock()} version {values.version}{_author(values)}: {changes}"


def _author(values: Values) -> str:
    """Return who made a version; empty while the database does not answer, or does not have it yet."""
    try:
        with database():
            version = find_version(values.version, values.stamp) if values.stamp else None
    except CouldNotAsk:
        return ""
    if version is None:
        return ""
    return f" by {version.by} ({version.source})" + (f", {version.why}" if version.why else "")


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"
