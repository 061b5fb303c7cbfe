from __future__ import annotations

from threading import Event, Thread

from tecken.runtimeconfig.reconciler import ForkLock

# Seconds.
LONGEST = 30.0


def test_fork_lock_held_delays_a_fork() -> None:
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
    # The lock is free again.
    with lock:
        pass


def test_fork_lock_during_a_fork_delays_other_threads() -> None:
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
