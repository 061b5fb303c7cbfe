"""Run by test_fork: processes that fork while the configuration is watched. The argument says how."""

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
    """`child` is also given up after a while: what hangs would hang for ever."""
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
    """The parent watches, and continues to."""
    change_by_itself(20)
    wait_until(lambda: sees(20))
    assert well(fork(change_and_see))
    wait_until(lambda: sees(30))


def unread() -> None:
    """Nothing was read before the fork: preload."""
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
    """Forked while the watcher's thread is in the middle of a change, and stays there."""
    busy, go_on = Event(), Event()

    def follower(value: int) -> None:
        if value == 20:
            busy.set()
            go_on.wait(LONGEST)

    current.on_change("symbolicate_max_jobs", follower)
    change_by_itself(20)
    assert busy.wait(LONGEST)

    def child() -> None:
        go_on.set()  # its own: the parent's thread is where it was
        change_and_see()

    assert well(fork(child))
    go_on.set()
    wait_until(lambda: sees(30))


def hail() -> None:
    """Forked again and again while changes pour in."""
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
    """The door is the first that a child asks."""
    assert not is_under_maintenance()
    current.backend().set_maintenance("full", "x", None)
    assert well(fork(lambda: wait_until(is_under_maintenance)))
    current.backend().set_maintenance("full", None, None)
    assert well(fork(lambda: wait_until(lambda: not is_under_maintenance())))


def late() -> None:
    """The child reads nothing for a while: it has its parent's values, and says how old they are."""
    change_by_itself(20)
    wait_until(lambda: sees(20))

    def child() -> None:
        assert current._runtime.process.snapshot.version == 20
        assert current._runtime.process.options is None
        assert sees(20)
        assert not current.state().stale

    assert well(fork(child))


def end() -> None:
    """The interpreter ends while changes pour in."""
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
