"""What a process has in force. Whoever reads takes no lock: everything is replaced by one assignment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tecken import metrics
from tecken.errors import BadOption
from tecken.runtimeconfig.backend import ConfigHead, Values
from tecken.runtimeconfig.maintenance import Maintenance, parse
from tecken.runtimeconfig.options import Options, named
from tecken.runtimeconfig.rollout import Subject
from tecken.runtimeconfig.snapshot import EMPTY, Snapshot, snapshot

logger = logging.getLogger(__name__)
FORK_SECONDS = 1.0  # how long a fork waits for the thread that applies a change
UNSET = object()


class Pin(NamedTuple):
    """What `options` are computed from: one version at one instant."""

    snapshot: Snapshot
    now: datetime
    age: float


class Follower:
    """Told of each new value of one option, and of none twice."""

    def __init__(self, option: str, function: Callable[[Any], None]) -> None:
        self.option = option
        self._function = function
        self._told: object = UNSET

    def tell(self, options: Options) -> None:
        value = getattr(options, self.option)
        if value == self._told:
            return
        self._told = value
        try:
            self._function(value)
        except Exception:
            logger.exception("%s: whoever follows it failed", self.option)


class Process:
    """Its lock is for those who change it, and no fork happens while it is held (for long)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.options: Options | None = None  # until the first look
        self.snapshot = EMPTY
        self.well = False  # the backend answered when it was last asked
        self._heard_at = clock()
        self._maintenance: tuple[str | None, Maintenance | None] = None, None
        self._uploads_closed: tuple[str | None, Maintenance | None] = None, None
        self._overrides: dict[str, Any] = {}
        self._followers: list[Follower] = []
        self._lock = threading.RLock()
        self._forking: set[int] = set()

    @property
    def age(self) -> float:
        """Seconds since the backend was last heard of."""
        return self._clock() - self._heard_at

    @property
    def maintenance(self) -> Maintenance | None:
        return _unless_over(self._maintenance[1])

    @property
    def uploads_closed(self) -> Maintenance | None:
        return _unless_over(self._uploads_closed[1])

    def pin(self) -> Pin:
        return Pin(self.snapshot, datetime.now(UTC), self.age)

    def options_for(self, pin: Pin, subject: Subject | None = None) -> Options:
        options = pin.snapshot.options(pin.now, subject, pin.age)
        return options.model_copy(update=self._overrides) if self._overrides else options

    def apply(self, values: Values, how: str) -> None:
        """`how` is the metric's label: message or read."""
        with self._lock:
            self._heard_at = self._clock()
            self.snapshot = snapshot(*values)
            self.refresh()
            metrics.CONFIG_REFRESHES.labels(how).inc()
            metrics.CONFIG_BAD_VALUES.inc(len(self.snapshot.bad))
        for text in self.snapshot.bad.values():
            logger.warning("version %d: ignored: %s", values.version, text)

    def seen(self, head: ConfigHead) -> None:
        with self._lock:
            self._heard_at = self._clock()
            self.well = True
            self._maintenance = _level(self._maintenance, head.maintenance)
            self._uploads_closed = _level(self._uploads_closed, head.uploads_closed)
            metrics.CONFIG_REFRESHES.labels("look").inc()

    def failed(self) -> None:
        with self._lock:
            self.well = False
            metrics.CONFIG_REFRESHES.labels("failed").inc()

    def missed(self) -> None:
        with self._lock:
            metrics.CONFIG_MISSED_HINTS.inc()

    def refresh(self) -> None:
        """Windows begin and end, and what is past its age goes back to its default."""
        with self._lock:
            self.options = self.options_for(self.pin())
            for follower in list(self._followers):
                follower.tell(self.options)

    def follow(self, option: str, function: Callable[[Any], None]) -> None:
        follower = Follower(named(option).name, function)
        with self._lock:
            self._followers.append(follower)
            self.refresh()

    @contextmanager
    def overridden(self, values: Mapping[str, object]) -> Iterator[None]:
        checked = {name: _checked(name, value) for name, value in values.items()}
        with self._lock:
            before, self._overrides = self._overrides, {**self._overrides, **checked}
            self.refresh()
        try:
            yield
        finally:
            with self._lock:
                self._overrides = before
                self.refresh()

    def before_fork(self) -> None:
        """Nobody holds what the child could never get: this lock, and those of metrics taken under it."""
        if self._lock.acquire(timeout=FORK_SECONDS):
            self._forking.add(threading.get_ident())

    def after_fork_in_parent(self) -> None:
        if threading.get_ident() in self._forking:
            self._forking.discard(threading.get_ident())
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """The values hold until its own first look."""
        self._lock = threading.RLock()
        self._forking = set()
        self.options = None
        self.well = False


def _checked(name: str, value: object) -> Any:
    option = named(name)
    try:
        return option.value(value) if isinstance(value, str) else option.adapter.validate_python(value)
    except ValueError as error:
        raise BadOption(f"{name}: {error}") from None


def _level(
    before: tuple[str | None, Maintenance | None], text: str | None
) -> tuple[str | None, Maintenance | None]:
    if text == before[0]:
        return before
    return text, None if text is None else parse(text)


def _unless_over(maintenance: Maintenance | None) -> Maintenance | None:
    """Also when nothing has been heard of the backend since."""
    if maintenance and maintenance.until and maintenance.until <= datetime.now(UTC):
        return None
    return maintenance
