"""Connections of the queue, which are those of kombu."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.simple import SimpleQueue

from tecken.redisclient.urls import broker_sentinel_options, broker_tls_options, broker_url
from tests.support.sentinel import SentinelPair, wait_until
from tests.support.tls import TlsSentinelPair, TlsServer, papers


@contextmanager
def connected(url: str, ca_file: str) -> Iterator[Connection]:
    options = broker_sentinel_options(url, timeout=1.0, connect_timeout=1.0, ca_file=ca_file)
    with Connection(  # type: ignore[no-untyped-call]
        broker_url(url, 1), ssl=broker_tls_options(url, ca_file) or None, transport_options=options
    ) as connection:
        yield connection


def passes(url: str, text: str, ca_file: str = "") -> bool:
    """Return whether a message that is sent is received."""
    try:
        with (
            connected(url, ca_file) as connection,
            SimpleQueue(connection, "tests", no_ack=True) as queue,  # type: ignore[no-untyped-call]
        ):
            queue.put(text)
            return bool(queue.get(timeout=5).payload == text)
    except (OperationalError, *connection.connection_errors):
        return False


def test_queue_behind_sentinels_with_a_password_uses_the_new_master() -> None:
    with SentinelPair(password="secret") as pair:
        assert passes(pair.url, "before")
        pair.master.kill()
        pair.wait_for_other()
        wait_until(lambda: passes(pair.url, "after"), 30, "a message comes through the new master")


@pytest.mark.parametrize("kind", [TlsServer, TlsSentinelPair])
def test_queue_over_tls_accepts_the_configured_authority(
    kind: type[TlsServer | TlsSentinelPair],
) -> None:
    with papers() as trusted, kind(trusted) as secured:
        assert passes(secured.secure_url, "over TLS", str(trusted.authority))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("kind", [TlsServer, TlsSentinelPair])
def test_queue_over_tls_refuses_other_authorities(kind: type[TlsServer | TlsSentinelPair], host: str) -> None:
    """Another authority, and another host's certificate."""
    with papers(host) as shown, papers() as others, kind(shown) as secured:
        trusted = others if host == "127.0.0.1" else shown
        assert not passes(secured.secure_url, "not trusted", str(trusted.authority))
