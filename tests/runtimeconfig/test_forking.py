from __future__ import annotations

from threading import Event, Thread

from tecken.runtimeconfig.forking import Whole

LONGEST = 30.0  # seconds


def test_a_fork_waits_for_what_is_done_together() -> None:
    whole, forked = Whole(), Event()

    def fork() -> None:
        whole.before_fork()
        forked.set()
        whole.after_fork_in_parent()

    thread = Thread(target=fork)
    with whole.together():
        thread.start()
        assert not forked.wait(0.05)
    assert forked.wait(LONGEST)
    thread.join(LONGEST)
    with whole.together():  # it is free again
        pass


def test_what_is_done_together_waits_for_a_fork() -> None:
    whole, done = Whole(), Event()

    def settle() -> None:
        with whole.together():
            done.set()

    whole.before_fork()
    thread = Thread(target=settle)
    thread.start()
    assert not done.wait(0.05)
    whole.after_fork_in_parent()
    assert done.wait(LONGEST)
    thread.join(LONGEST)
