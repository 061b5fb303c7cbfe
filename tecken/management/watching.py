"""Changes of the runtime configuration as they come, for `config watch`."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

from tecken.errors import CouldNotAsk
from tecken.management.configuration import steps
from tecken.runtimeconfig.backend import ConfigBackend, Values
from tecken.runtimeconfig.history import database, difference, known

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 1.0


def watch_lines(backend: ConfigBackend) -> Generator[str]:
    """Without end. When the backend is away it says so once, and goes on when it is back."""
    last: Values | None = None
    away = False
    while True:
        try:
            for now in _states(backend, last):
                away = False
                yield _line(last, now)
                last = now
        except CouldNotAsk as error:
            if not away:
                yield f"{_clock()} {error}; waiting"
            away = True
            time.sleep(PAUSE_SECONDS)


def _states(backend: ConfigBackend, last: Values | None) -> Iterator[Values]:
    """Each one that is another than the one before; a lost message costs one look."""
    with backend.subscribe() as heard:
        while True:
            now = backend.read()
            if last is None or now != last:
                yield now
                last = now
            heard.next(LOOK_SECONDS)


def _line(last: Values | None, now: Values) -> str:
    if last is None:
        return f"{_clock()} version {now.version}; watching, Ctrl-C ends it"
    what = steps(difference(last.texts, now.texts)) or "the same values"
    return f"{_clock()} version {now.version}{_by(now)}: {what}"


def _by(now: Values) -> str:
    """Nothing when the database is away, or does not know of it yet."""
    try:
        with database():
            made = known(now.version, now.stamp) if now.stamp else None
    except CouldNotAsk:
        return ""
    return f" by {made.by} ({made.source})" + (f", {made.why}" if made.why else "") if made else ""


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"
