"""Configuration of this process: `options()` is what requests and jobs read.

The first read polls the backend, for at most the Redis timeout, and starts the watcher; all later reads are
from memory. A forked child has no watcher: it keeps its parent's values, and its own first read starts one.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings

from tecken import redisclient
from tecken.runtimeconfig.backend import Maintenance
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.option import to_text
from tecken.runtimeconfig.options import Options
from tecken.runtimeconfig.process import ConfigBackend, Process, process_name
from tecken.runtimeconfig.reconciler import ForkLock
from tecken.runtimeconfig.snapshot import Snapshot, Subject, check_all

RECONCILE_FORK_SECONDS = 5.0


@dataclass(slots=True)
class Pin:
    """Version, time and age from which the options of a request are computed, and these options."""

    snapshot: Snapshot
    now: datetime
    age: float
    options: Options


# A request sees one version from start to end, although the watcher replaces the newest one at any moment:
# without the pin, two reads of one request could mix two versions. The variable belongs to the context, so
# concurrent requests do not share it.
_pin: ContextVar[Pin | None] = ContextVar("pin", default=None)


class Runtime:
    """Long-lived objects of the process."""

    def __init__(self) -> None:
        self.process = Process()
        self.backend: ConfigBackend | None = None
        self.reconcile: Callable[[], bool] = lambda: True
        self.start_lock = threading.RLock()
        self.reconcile_lock = ForkLock(RECONCILE_FORK_SECONDS)


_runtime = Runtime()


class State(NamedTuple):
    """Configuration in force.

    `age`: seconds since the last contact to the backend; `stale`: it may be out of date;
    `bad`: entry -> why it is ignored; `watcher`: redis, file or memory; `process`: host:pid.
    """

    version: int
    stamp: str
    age: float
    stale: bool
    bad: Mapping[str, str]
    watcher: str
    process: str


def options() -> Options:
    """Return the values of this request or job, else the newest ones."""
    pin = _pin.get()
    if pin is not None:
        return pin.options
    return _runtime.process.options or _started_process().options or Options()


def version() -> int:
    """Return the version of `options()`. Never polls, so that log lines of the poll itself can have it."""
    return (_pin.get() or _runtime.process).snapshot.version


def state() -> State:
    """Return the state of the process, whatever is pinned."""
    process, snapshot = _started_process(), _runtime.process.snapshot
    age = 0.0 if _is_in_memory() else process.age
    return State(
        snapshot.version, snapshot.stamp, age, is_stale(), snapshot.bad, _watcher_name(), process_name()
    )


def is_stale() -> bool:
    """Return whether the values may be out of date; False before the first read. Never polls."""
    process = _runtime.process
    late = settings.RUNTIME_CONFIG_INTERVAL_SECONDS + settings.REDIS_TIMEOUT_SECONDS
    is_late = process.age > late and not _is_in_memory()
    return process.options is not None and (is_late or not process.is_reachable)


@contextmanager
def pinned(subject: Subject | None = None, texts: Mapping[str, str] | None = None) -> Iterator[None]:
    """Keep one version until the end; inside another pin, keep the version of that one.

    `texts` replace the set ones and their windows, for a request that overrides them. Raises BadOption.
    """
    pin = _pin.get()
    if pin is None or subject is not None or texts:
        pin = _compute_pin(pin, subject, texts)
    token = _pin.set(pin)
    try:
        yield
    finally:
        _pin.reset(token)


class ValuesInForce(NamedTuple):
    """Values of one version; `are_for_all` tells that they are the same for every requester."""

    options: Options
    version: int
    are_for_all: bool


def values_for(subject: Subject) -> ValuesInForce:
    """Return the newest values for a requester, without a pin."""
    pin = _compute_pin(None, subject)
    return ValuesInForce(pin.options, pin.snapshot.version, not pin.snapshot.has_rollouts)


def repin(subject: Subject) -> None:
    """Compute the pinned values for a requester that has become known: rollouts depend on it."""
    pin = _pin.get()
    if pin is not None and pin.snapshot.has_rollouts:
        _pin.set(_compute_pin(pin, subject))


def on_change(option: str, function: Callable[[Any], None]) -> None:
    """Call `function` with the value in force, now and, in the watcher's thread, after each change.

    Its errors are logged. Raises BadOption when there is no such option.
    """
    _started_process().follow(option, function)


def follow_log_level() -> None:
    """Set the level of the root logger, now and after each change."""
    on_change("log_level", logging.getLogger().setLevel)


@contextmanager
def overridden(**values: object) -> Iterator[None]:
    """Replace values in all threads until the next change, for a test. Raises BadOption."""
    process = _started_process()
    before, texts = process.snapshot, {name: to_text(value) for name, value in values.items()}
    process.snapshot = mine = _replace_texts(before, texts)
    process.refresh()
    try:
        yield
    finally:
        if process.snapshot is mine:
            process.snapshot = before
            process.refresh()


def maintenance() -> Maintenance | None:
    """Return the maintenance of the site. Reads memory: the watcher polls the key."""
    return _started_process().maintenance("full")


def is_under_maintenance() -> bool:
    """Return whether the site is under maintenance."""
    return maintenance() is not None


def is_shut() -> bool:
    """Return whether this process has seen maintenance. Never polls."""
    return _runtime.process.maintenance("full") is not None


def uploads_closed() -> Maintenance | None:
    """Return the maintenance of uploads alone."""
    return _started_process().maintenance("uploads")


def backend() -> ConfigBackend:
    """Return the backend of this process."""
    with _runtime.start_lock:
        if _runtime.backend is None:
            _runtime.backend = _create_backend(_watcher_name())
        return _runtime.backend


def start() -> None:
    """Poll once and start the watcher, unless it is running. The first read does the same.

    While the backend does not answer, the defaults are in force.
    """
    with _runtime.start_lock:
        process, is_threaded = _runtime.process, not _is_in_memory()
        if not process.is_alive() and (is_threaded or process.options is None):
            interval = settings.RUNTIME_CONFIG_INTERVAL_SECONDS
            process.start(backend(), interval, _reconcile, has_thread=is_threaded)


def set_kind(kind: str) -> None:
    """Set the kind of process for its reports: web, worker, beat or command. Call it before `start`."""
    _runtime.process.kind = kind


def set_reconciler(reconcile: Callable[[], bool]) -> None:
    """Set the function that watchers call when backend and database may differ."""
    _runtime.reconcile = reconcile


def reconcile_soon() -> None:
    """Deliver what the database has and the backend does not, once the backend takes writes."""
    _runtime.process.reconcile_soon()


def reset() -> None:
    """Return to the state before the first read, without followers."""
    with _runtime.start_lock:
        kind = _runtime.process.kind
        _stop()
        _runtime.backend, _runtime.process = None, Process()
        _runtime.process.kind = kind


def _compute_pin(pin: Pin | None, subject: Subject | None, texts: Mapping[str, str] | None = None) -> Pin:
    """Return a pin for a subject, of the version of `pin` or else of the newest one."""
    process = _started_process()
    snapshot, now, age = process.snapshot, datetime.now(UTC), process.age
    if pin is not None:
        snapshot, now, age = pin.snapshot, pin.now, pin.age
    if texts:
        snapshot = _replace_texts(snapshot, texts)
    return Pin(snapshot, now, age, snapshot.options(now, subject, age))


def _replace_texts(snapshot: Snapshot, texts: Mapping[str, str]) -> Snapshot:
    """Return a version with these texts instead of those of their options and windows. Raises BadOption."""
    check_all(texts)
    names = {key.partition("@")[0] for key in texts}
    others = {key: text for key, text in snapshot.texts.items() if key.partition("@")[0] not in names}
    return Snapshot(snapshot.version, snapshot.stamp, {**others, **texts})


def _started_process() -> Process:
    if _runtime.process.options is None:
        with _runtime.start_lock:
            if _runtime.process.options is None:
                start()
    return _runtime.process


def _watcher_name() -> str:
    return settings.RUNTIME_CONFIG_WATCHER or ("redis" if settings.REDIS_URL else "file")


def _is_in_memory() -> bool:
    """Return whether only this process can write, so that it polls after each write and at no other time."""
    return _watcher_name() == "memory"


def _create_backend(name: str) -> ConfigBackend:
    if name == "file":
        return FileBackend(Path(settings.RUNTIME_CONFIG_FILE))
    client = redisclient.client(
        f"memory://{uuid4()}" if name == "memory" else settings.RUNTIME_CONFIG_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    on_write = _poll if name == "memory" else lambda: None
    return RedisBackend(client, settings.RUNTIME_CONFIG_CHANNEL, on_write)


def _poll() -> None:
    if _runtime.process.options is not None:
        _runtime.process.poll()


def _reconcile() -> bool:
    """Reconcile, unless this is a command, which may end before it is done."""
    if _runtime.process.kind == "command":
        return True
    with _runtime.reconcile_lock:
        return _runtime.reconcile()


def _before_fork() -> None:
    # The outer lock first, as in a reconciliation. In the other order both could wait for each other.
    _runtime.reconcile_lock.before_fork()
    _runtime.process.lock.before_fork()


def _after_fork_in_parent() -> None:
    _runtime.process.lock.after_fork_in_parent()
    _runtime.reconcile_lock.after_fork_in_parent()


def _after_fork_in_child() -> None:
    """Drop all that belongs to the parent's threads: locks they may hold, the thread, open connections."""
    _runtime.start_lock = threading.RLock()
    _runtime.reconcile_lock.after_fork_in_child()
    # A backend in memory has no connection, and its values exist nowhere else.
    if _runtime.backend is not None and not _is_in_memory():
        _runtime.backend = None
    _runtime.process.after_fork_in_child()


@atexit.register
def _stop() -> None:
    """End the watcher, so that it does not fail in an interpreter that is shutting down."""
    _runtime.process.stop()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
