"""The configuration of this process: `options()` is what a request or a job reads."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.maintenance import Maintenance
from tecken.runtimeconfig.memory import MemoryShelf
from tecken.runtimeconfig.options import CATALOGUE, Options
from tecken.runtimeconfig.rollout import Subject
from tecken.runtimeconfig.shelf import Shelf

_pinned: ContextVar[Options | None] = ContextVar("options", default=None)
_latest = Options()
_followers: list[tuple[str, Callable[[Any], None]]] = []
_shelf: Shelf = MemoryShelf()


class State(NamedTuple):
    """What this process has in force. `age`: seconds since it last heard of the shelf. `bad`: entry -> why it
    counts for nothing. `watcher`: redis, file or memory. `process`: host:pid."""

    version: int
    stamp: str
    age: float
    stale: bool
    bad: Mapping[str, str]
    watcher: str
    process: str


def options() -> Options:
    """The values of this request or job, else the newest ones."""
    return _pinned.get() or _latest


def state() -> State:
    """Of this process, whatever is pinned."""
    return State(0, "", 0.0, False, {}, "memory", f"{socket.gethostname()}:{os.getpid()}")


def version() -> int:
    """Of what options() returns."""
    return 0


@contextmanager
def pinned(subject: Subject | None = None) -> Iterator[None]:
    """One set of values until the end, whatever happens meanwhile."""
    token = _pinned.set(options())
    try:
        yield
    finally:
        _pinned.reset(token)


def repin(subject: Subject) -> None:
    """Inside `pinned`, once it is known whom the request is for: the same version as before."""


@contextmanager
def request_override(texts: Mapping[str, str]) -> Iterator[None]:
    """Inside `pinned`: these texts instead of what is set. Raises BadOption."""
    new = options().model_copy(update={name: CATALOGUE[name].value(text) for name, text in texts.items()})
    token = _pinned.set(new)
    try:
        yield
    finally:
        _pinned.reset(token)


def on_change(option: str, function: Callable[[Any], None]) -> None:
    """`function` is called with the value now, and with each new one, by the watcher's thread."""
    _followers.append((option, function))
    function(getattr(_latest, option))


@contextmanager
def overridden(**values: object) -> Iterator[None]:
    """For a test, in all threads. Raises BadOption."""
    before = _latest
    _apply(Options.model_validate({**before.model_dump(), **values}))
    try:
        yield
    finally:
        _apply(before)


def is_under_maintenance() -> bool:
    return maintenance() is not None


def maintenance() -> Maintenance | None:
    return None


def uploads_closed() -> Maintenance | None:
    return None


def shelf() -> Shelf:
    return _shelf


def start() -> None:
    """Watches from here on; may be called again."""


def kind(name: str) -> None:
    """What this process is in its reports: web, worker, beat or command."""


def forget() -> None:
    """As if nothing had been read yet."""


def _apply(new: Options) -> None:
    global _latest  # noqa: PLW0603 - one per process
    before, _latest = _latest, new
    for option, function in _followers:
        if option not in CATALOGUE:
            raise BadOption(option)
        if getattr(before, option) != getattr(new, option):
            function(getattr(new, option))
