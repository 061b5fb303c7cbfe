from __future__ import annotations

from threading import Event, Thread

from tecken.runtimeconfig.forking import ForkLock

LONGEST = 30.0  # seconds


def test_a_fork_waits_for_what_is_done_together() -> None:
    lock, forked = ForkLock(LONGEST), Event()

    def fork() -> None:
        lock.before_fork()
        forked.set()
        lock.after_fork_in_parent()

    thread = Thread(target=fork)
    with lock:
        thread.start()
        assert not forked.wait(0.05)
    assert forked.wait(LONGEST)
    thread.join(LONGEST)
    with lock:  # it is free again
        pass


def test_what_is_done_together_waits_for_a_fork() -> None:
    lock, done = ForkLock(LONGEST), Event()

    def settle() -> None:
        with lock:
            done.set()

    lock.before_fork()
    thread = Thread(target=settle)
    thread.start()
    assert not done.wait(0.05)
    lock.after_fork_in_parent()
    assert done.wait(LONGEST)
    thread.join(LONGEST)
