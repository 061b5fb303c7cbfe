from __future__ import annotations

from typing import Any

import pytest
from kombu.connection import Connection
from redis import Redis

from tecken.celery import app
from tecken.jobs import keys, sending, transport
from tecken.jobs.keys import CONVERT, UPLOAD
from tecken.redisclient import services as redis_services
from tests.support.redis_server import MUTE_AFTER, RedisServer

# kombu has no types.
connected: Any = Connection


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_queue_url_of_any_scheme_selects_our_transport(scheme: str) -> None:
    found = connected(f"{scheme}://127.0.0.1").get_transport_cls()
    assert found in (transport.Transport, transport.SentinelTransport)


def test_ack_without_connection_raises_lost_connection() -> None:
    with RedisServer() as server, connected(server.url) as connection:
        channel = connection.default_channel
        errors = connection.connection_errors
        connection.collect()
        with pytest.raises(errors, match="the connection of this channel is gone"):
            channel.basic_ack("some tag")


@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_message_that_ends_without_answer_leaves_its_place_to_the_next(end: str) -> None:
    options = {"socket_timeout": MUTE_AFTER}
    with RedisServer() as server, connected(server.url, transport_options=options) as connection:
        queue = connection.SimpleQueue("q")
        queue.consumer.qos(prefetch_count=1)
        for word in ("first", "next"):
            queue.put(word)
        message = queue.get(timeout=10)
        server.pause()
        with pytest.raises(connection.connection_errors):
            getattr(message, end)()
        server.resume()
        assert queue.get(timeout=10).payload == "next"


def test_get_from_full_server_delivers_message() -> None:
    with RedisServer() as server, connected(server.url) as connection, Redis.from_url(server.url) as admin:
        queue = connection.SimpleQueue("q")
        queue.put("kept")
        admin.config_set("maxmemory", 1)
        message = queue.get(timeout=10)
        assert message.payload == "kept"
        message.ack()


@pytest.mark.usefixtures("clear_redis_cache")
def test_send_all_uses_one_batch_and_rings_each_bell_once() -> None:
    client = redis_services.queue_client()
    with app.producer_or_acquire() as producer:
        assert producer.supports_batch_publish
        with producer.batch():
            for number in range(3):
                app.send_task("any", [number], queue=CONVERT, priority=sending.LAST, producer=producer)
            app.send_task("any", [3], queue=UPLOAD, producer=producer)
            assert client.llen(keys.waiting(CONVERT, sending.LAST)) == 0
    assert client.llen(keys.waiting(CONVERT, sending.LAST)) == 3
    assert client.llen(UPLOAD) == 1
    for queue in (CONVERT, UPLOAD):
        assert client.llen(transport.bell(queue)) == 1
        assert 0 < client.ttl(transport.bell(queue)) <= transport.BELL_EXPIRES_SECONDS


@pytest.mark.usefixtures("clear_redis_cache")
def test_send_task_without_batch_rings_the_bell() -> None:
    app.send_task("any", [1], queue=CONVERT)
    assert redis_services.queue_client().llen(transport.bell(CONVERT)) == 1
