"""Processes that fork while a watcher runs. test_fork.py runs this with the case as its argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

import django

django.setup()

from tecken.runtimeconfig import current  # noqa: E402 - reads the settings
from tecken.runtimeconfig.current import is_under_maintenance, options  # noqa: E402
from tests.runtimeconfig.watching import LONGEST, put, wait_until  # noqa: E402


def sees(wanted: int) -> bool:
    return options().symbolicate_max_jobs == wanted


def fork(child: Callable[[], object]) -> int:
    """Run `child` in a fork with a time limit: a child that hangs would hang for ever."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        child()
        status = 0
    except TimeoutError:
        print("the child saw nothing new", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def well(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


def change_by_itself(version: int) -> None:
    put(current.backend(), version, symbolicate_max_jobs=str(version))


def change_and_see() -> None:
    change_by_itself(30)
    wait_until(lambda: sees(30))


def watched() -> None:
    """Fork while the parent has a watcher, which continues."""
    change_by_itself(20)
    wait_until(lambda: sees(20))
    assert well(fork(change_and_see))
    wait_until(lambda: sees(30))


def unread() -> None:
    """Fork before the first read, as a server with preload does."""
    assert well(fork(change_and_see))
    wait_until(lambda: sees(30))


def grandchildren() -> None:
    def middle() -> None:
        assert sees(20)
        assert well(fork(change_and_see))
        wait_until(lambda: sees(30))

    change_by_itself(20)
    wait_until(lambda: sees(20))
    assert well(fork(middle))
    wait_until(lambda: sees(30))


def held() -> None:
    """Fork while the watcher's thread is in the middle of a change and stays there."""
    busy, go_on = Event(), Event()

    def follower(value: int) -> None:
        if value == 20:
            busy.set()
            go_on.wait(LONGEST)

    current.on_change("symbolicate_max_jobs", follower)
    change_by_itself(20)
    assert busy.wait(LONGEST)

    def child() -> None:
        # This is the child's copy: the parent's thread still waits.
        go_on.set()
        change_and_see()

    assert well(fork(child))
    go_on.set()
    wait_until(lambda: sees(30))


def hail() -> None:
    """Fork repeatedly during many changes."""
    stop = Event()

    def pour() -> None:
        version = 20
        while not stop.is_set():
            version += 1
            put(current.backend(), version, symbolicate_max_jobs=str(100 + version % 800))

    change_by_itself(20)
    wait_until(lambda: sees(20))
    pouring = Thread(target=pour)
    pouring.start()

    def child() -> None:
        before = options().symbolicate_max_jobs
        wait_until(lambda: not sees(before))

    assert all(well(fork(child)) for _ in range(60))
    stop.set()
    pouring.join()


def maintained() -> None:
    """Let the child read maintenance first."""
    assert not is_under_maintenance()
    current.backend().set_maintenance("full", "x", None)
    assert well(fork(lambda: wait_until(is_under_maintenance)))
    current.backend().set_maintenance("full", None, None)
    assert well(fork(lambda: wait_until(lambda: not is_under_maintenance())))


def late() -> None:
    """Let the child read late: it has its parent's values and their age."""
    change_by_itself(20)
    wait_until(lambda: sees(20))

    def child() -> None:
        assert current._runtime.process.snapshot.version == 20
        assert current._runtime.process.options is None
        assert sees(20)
        assert not current.state().stale

    assert well(fork(child))


def end() -> None:
    """End the interpreter during many changes."""
    until = monotonic() + 0.3
    version = 0
    while monotonic() < until:
        version += 1
        put(current.backend(), version, symbolicate_max_jobs=str(1 + version % 800))
    put(current.backend(), version + 1, symbolicate_max_jobs="many")


CASES = {one.__name__: one for one in (watched, unread, grandchildren, held, hail, maintained, late, end)}

if __name__ == "__main__":
    if sys.argv[1] != "unread":
        options()
    CASES[sys.argv[1]]()
