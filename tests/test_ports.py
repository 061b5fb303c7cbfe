from __future__ import annotations

import socket
import sys
from subprocess import check_output

import pytest

from tests.support import redis_server
from tests.support.redis_server import RESERVED_PORTS, free_port

ANOTHER = """
from tests.support import redis_server
redis_server.SERVERS_PORTS = [{reserved}, {free}]
print(redis_server.free_port())
"""


def test_free_port_that_has_no_server_yet_is_not_given_to_another_process() -> None:
    reserved, free = free_port(), free_port()
    redis_server._reservations.pop().close()
    script = ANOTHER.format(reserved=reserved, free=free)
    assert int(check_output([sys.executable, "-c", script])) == free


def test_free_port_with_a_listener_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_port()
    redis_server._reservations.pop().close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(redis_server, "SERVERS_PORTS", [listener.getsockname()[1], free])
        assert free_port() == free


def test_free_port_reservations_are_bounded() -> None:
    for _ in range(RESERVED_PORTS + 3):
        free_port()
    assert len(redis_server._reservations) == RESERVED_PORTS
