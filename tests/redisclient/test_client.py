from __future__ import annotations

import pytest
import redis

from tecken.redisclient import client, delete_all
from tests.support.redis_server import RedisServer, free_port
from tests.support.scripted_server import ScriptedServer


def test_client_returns_bytes() -> None:
    with RedisServer() as server, client(server.url, timeout=5, connect_timeout=5) as connected:
        connected.set("key", "value")
        assert connected.get("key") == b"value"


def test_client_of_a_refused_port_raises() -> None:
    refused = client(f"redis://127.0.0.1:{free_port()}/0", timeout=5, connect_timeout=5)
    with refused, pytest.raises(redis.ConnectionError):
        refused.ping()


def test_client_of_a_mute_server_raises_after_the_timeout() -> None:
    with RedisServer() as server, client(server.url, timeout=0.05, connect_timeout=0.05) as connected:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            connected.ping()


def test_client_after_a_timeout_sends_nothing_again() -> None:
    with ScriptedServer() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with client(url, timeout=5, connect_timeout=5) as connected, pytest.raises(redis.ConnectionError):
            connected.incr("counter")
        assert len(server.received) == 1


def test_clients_of_two_databases_are_separate() -> None:
    with RedisServer() as server:
        zeroth = client(server.url, timeout=5, connect_timeout=5)
        second = client(server.url.removesuffix("0") + "2", timeout=5, connect_timeout=5)
        with zeroth, second:
            second.set("key", "value")
            assert zeroth.get("key") is None


def test_client_with_another_scheme_raises() -> None:
    with pytest.raises(ValueError, match="scheme"):
        client("http://127.0.0.1", timeout=5, connect_timeout=5)


def test_delete_all_empties_one_database() -> None:
    with (
        RedisServer() as server,
        client(server.url, timeout=5, connect_timeout=5) as connected,
        client(server.url.replace("/0", "/1"), timeout=5, connect_timeout=5) as other,
    ):
        connected.mset({f"key:{number}": 1 for number in range(2500)})
        other.set("key", 1)
        delete_all(connected)
        assert connected.dbsize() == 0
        assert other.get("key") == b"1"
