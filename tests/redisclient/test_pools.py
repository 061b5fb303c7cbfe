from __future__ import annotations

import os
import signal
from threading import Event, Thread

import pytest

from tecken.redisclient import client
from tests.support.redis_server import RedisServer


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_pool_of_a_child_forked_while_a_thread_holds_it_connects() -> None:
    with RedisServer() as server, client(server.url, timeout=5, connect_timeout=5) as connected:
        ours = connected.client_id()
        held, done = Event(), Event()

        def hold() -> None:
            with connected.connection_pool._lock:
                held.set()
                done.wait(60)

        thread = Thread(target=hold)
        thread.start()
        held.wait(60)
        child = os.fork()
        if not child:
            # Ends the child when it waits for the lock of a thread that it does not have.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os._exit(0 if connected.client_id() != ours else 1)
        done.set()
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert connected.client_id() == ours
