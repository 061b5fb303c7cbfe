from __future__ import annotations

from typing import Any

import pytest
from kombu.connection import Connection
from redis import Redis

from tecken.jobs import transport
from tests.support.redis_server import RedisServer

connected: Any = Connection  # which says nothing of its types


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_every_url_of_a_queue_leads_to_our_transport(scheme: str) -> None:
    found = connected(f"{scheme}://127.0.0.1").get_transport_cls()
    assert found in (transport.Transport, transport.SentinelTransport)


def test_what_is_acknowledged_after_the_connection_is_gone_is_a_lost_connection() -> None:
    with RedisServer() as server, connected(server.url) as connection:
        channel = connection.default_channel
        errors = connection.connection_errors
        connection.collect()
        with pytest.raises(errors, match="the connection of this channel is gone"):
            channel.basic_ack("some tag")


def test_a_message_of_a_full_server_is_done_all_the_same() -> None:
    with RedisServer() as server, connected(server.url) as connection, Redis.from_url(server.url) as admin:
        queue = connection.SimpleQueue("q")
        queue.put("kept")
        admin.config_set("maxmemory", 1)
        message = queue.get(timeout=10)
        assert message.payload == "kept"
        message.ack()
