"""The queue's own way to its server, which is Celery's and not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu.connection import Connection
from kombu.simple import SimpleQueue

from tecken.settings import broker, broker_sentinels
from tests.support.sentinel import SentinelPair, wait_until


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    options = broker_sentinels(url)
    with Connection(broker(url, 1), transport_options=options) as connection:  # type: ignore[no-untyped-call]
        yield connection


def passes(url: str, text: str) -> bool:
    """Whether a message that is put in comes out again."""
    try:
        with (
            connected(url) as connection,
            SimpleQueue(connection, "tests", no_ack=True) as queue,  # type: ignore[no-untyped-call]
        ):
            queue.put(text)
            return bool(queue.get(timeout=5).payload == text)
    except connection.connection_errors:
        return False


def test_behind_sentinels_that_want_a_password_the_queue_follows_its_master() -> None:
    with SentinelPair(password="secret") as pair:
        assert passes(pair.url, "before")
        pair.master.kill()
        pair.wait_for_other()
        wait_until(lambda: passes(pair.url, "after"), 10, "a message comes through the new master")
