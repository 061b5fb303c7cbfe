"""The configuration of this process: `options()` is what a request or a job reads.

The first to read asks the backend, at most for as long as Redis may take to answer, and starts the watcher;
from then on everything is read from memory. A forked child has no watcher: it keeps its parent's values
and starts one with its own first read.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings

from tecken import redisclient
from tecken.runtimeconfig.backend import ConfigBackend
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.memory import MemoryBackend
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.forking import Whole
from tecken.runtimeconfig.maintenance import Maintenance
from tecken.runtimeconfig.options import Options
from tecken.runtimeconfig.process import Pin, Process
from tecken.runtimeconfig.rollout import Subject
from tecken.runtimeconfig.snapshot import check_all, snapshot
from tecken.runtimeconfig.watcher import Watcher, process_name

_pinned: ContextVar[Options | None] = ContextVar("options", default=None)
_pin: ContextVar[Pin | None] = ContextVar("pin", default=None)


class Parts:
    """Of this process, one of each."""

    def __init__(self) -> None:
        self.process = Process()
        self.kind = "command"
        self.backend: ConfigBackend | None = None
        self.watcher: Watcher | None = None
        self.starting = threading.RLock()
        self.settling = Whole()


_here = Parts()


class State(NamedTuple):
    """What this process has in force. `age`: seconds since it last heard of the backend. `stale`: it may be
    behind. `bad`: entry -> why it is ignored. `watcher`: redis, file or memory. `process`: host:pid."""

    version: int
    stamp: str
    age: float
    stale: bool
    bad: Mapping[str, str]
    watcher: str
    process: str


def options() -> Options:
    """The values of this request or job, else the newest ones."""
    return _pinned.get() or _here.process.options or _first()


def version() -> int:
    """The one that `options()` comes from. Never looks: also what is logged while looking has one."""
    return (_pin.get() or _here.process).snapshot.version


def state() -> State:
    """Of the process, whatever is pinned."""
    process, watcher = _begun(), _watcher_name()
    age = 0.0 if watcher == "memory" else process.age
    ours = process.snapshot
    return State(ours.version, ours.stamp, age, is_stale(), ours.bad, watcher, process_name())


def is_stale() -> bool:
    """Never looks, as `version` does not; what has not begun is not stale."""
    process = _here.process
    if process.options is None:
        return False
    late = settings.RUNTIME_CONFIG_INTERVAL_SECONDS + settings.REDIS_TIMEOUT_SECONDS
    return not process.well or (process.age > late and _watcher_name() != "memory")


def is_shut() -> bool:
    """Under maintenance as far as is known: never looks."""
    return _here.process.maintenance is not None


@contextmanager
def pinned(subject: Subject | None = None) -> Iterator[None]:
    """One set of values until the end, whatever happens meanwhile; of the outer one, inside another."""
    with _pinned_to(_pin.get() or _begun().pin(), subject):
        yield


def repin(subject: Subject) -> None:
    """Inside `pinned`, once it is known whom the request is for: rollouts are for somebody."""
    pin = _pin.get()
    if pin is not None and pin.snapshot.has_rollouts:
        _pinned.set(_here.process.options_for(pin, subject))


@contextmanager
def request_override(texts: Mapping[str, str]) -> Iterator[None]:
    """For one request: these texts instead of what is set, windows included. Raises BadOption."""
    check_all(texts)
    pin = _pin.get() or _begun().pin()
    names = {key.partition("@")[0] for key in texts}
    others = {key: text for key, text in pin.snapshot.texts.items() if key.partition("@")[0] not in names}
    new = snapshot(pin.snapshot.version, pin.snapshot.stamp, {**others, **texts})
    with _pinned_to(pin._replace(snapshot=new), None):
        yield


def on_change(option: str, function: Callable[[Any], None]) -> None:
    """`function` is called at once with the value now, then with each new one, in the watcher's thread.

    What it raises is logged. Raises BadOption when there is no such option.
    """
    _begun().follow(option, function)


@contextmanager
def overridden(**values: object) -> Iterator[None]:
    """For a test, in all threads. Text is read as an operator's. Raises BadOption."""
    with _begun().overridden(values):
        yield


def is_under_maintenance() -> bool:
    """Reads memory: the key is looked at by the watcher, once per interval."""
    return maintenance() is not None


def maintenance() -> Maintenance | None:
    return _begun().maintenance


def uploads_closed() -> Maintenance | None:
    return _begun().uploads_closed


def backend() -> ConfigBackend:
    with _here.starting:
        if _here.backend is None:
            _here.backend = _new_backend(_watcher_name())
        return _here.backend


def start() -> None:
    """What the first read would do; and a watcher that has died starts again. For entrances."""
    with _here.starting:
        if _here.watcher is None or not (_here.watcher.is_alive() or _watcher_name() == "memory"):
            _begin()


def settle_soon() -> None:
    """Have this process deliver what the database has and the backend does not, once the backend takes it."""
    if _here.watcher is not None:
        _here.watcher.settle_soon()


def kind(name: str) -> None:
    """What this process is in its reports: web, worker, beat or command. Before `start`."""
    _here.kind = name


def forget() -> None:
    """As if nothing had been read, nor followed, yet."""
    with _here.starting:
        if _here.watcher is not None:
            _here.watcher.stop()
        _here.backend, _here.watcher, _here.process = None, None, Process()


@contextmanager
def _pinned_to(pin: Pin, subject: Subject | None) -> Iterator[None]:
    known = _pinned.get() if subject is None and _pin.get() is pin else None
    pin_token = _pin.set(pin)
    token = _pinned.set(known or _here.process.options_for(pin, subject))
    try:
        yield
    finally:
        _pinned.reset(token)
        _pin.reset(pin_token)


def _first() -> Options:
    with _here.starting:
        return _here.process.options or _begin()


def _begun() -> Process:
    if _here.process.options is None:
        _first()
    return _here.process


def _begin() -> Options:
    """Afterwards there are options, whatever the backend said."""
    interval = settings.RUNTIME_CONFIG_INTERVAL_SECONDS
    watcher = Watcher(backend(), _here.process, interval, _reconcile, kind=lambda: _here.kind)
    _here.watcher = watcher
    watcher.look()
    if _watcher_name() != "memory":
        _import_what_reconciles()
        watcher.start()
    return _here.process.options or Options()


def _watcher_name() -> str:
    return settings.RUNTIME_CONFIG_WATCHER or ("redis" if settings.REDIS_URL else "file")


def _new_backend(name: str) -> ConfigBackend:
    if name == "memory":
        return MemoryBackend(_look)
    if name == "file":
        return FileBackend(Path(settings.RUNTIME_CONFIG_FILE))
    client = redisclient.client(
        settings.RUNTIME_CONFIG_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    return RedisBackend(client, settings.RUNTIME_CONFIG_CHANNEL)


def _look() -> None:
    if _here.watcher is not None:
        _here.watcher.look()


def _import_what_reconciles() -> None:
    """Not in the watcher's threads: a child that is forked while one of them imports can never import it."""
    if _here.kind != "command" and apps.ready:
        import_module("tecken.runtimeconfig.service")


def _reconcile() -> None:
    """Commands leave it to those who stay."""
    if _here.kind == "command":
        return
    from django.db import connections  # noqa: PLC0415 - they are this thread's

    from tecken.runtimeconfig import service  # noqa: PLC0415 - it reads the backend through this module

    with _here.settling.together():
        try:
            service.reconcile()
        finally:
            connections.close_all()


def _before_fork() -> None:
    _here.settling.before_fork()
    _here.process.before_fork()


def _after_fork_in_parent() -> None:
    _here.process.after_fork_in_parent()
    _here.settling.after_fork_in_parent()


def _after_fork_in_child() -> None:
    _here.starting = threading.RLock()
    _here.settling = Whole()
    _here.watcher = None
    if not isinstance(_here.backend, MemoryBackend):
        _here.backend = None
    _here.process.after_fork_in_child()


@atexit.register
def _stop() -> None:
    """A daemon thread that fails while the interpreter ends says nothing."""
    if _here.watcher is not None:
        _here.watcher.stop()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
