"""A client that misses a deadline is disconnected, whatever part of a request it delays."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import orjson
import pytest

from tecken.front.config import MAX_HEAD_BYTES
from tests.front.applications import Gate, Large, echo
from tests.front.server import SOON, Server, received, serving

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(echo) as server:
        yield server


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def error(response: bytes) -> str:
    return str(orjson.loads(response.partition(b"\r\n\r\n")[2])["error"])


def test_connection_without_a_byte_is_closed(server: Server) -> None:
    assert status(server.exchange()) == 408


def test_headers_that_do_not_end_are_answered_408(server: Server) -> None:
    response = server.exchange(HEAD)
    assert (status(response), error(response)) == (408, "The headers took longer than 0.5 seconds")


def test_second_request_whose_headers_do_not_end_is_answered_408(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        client.sendall(HEAD)
        assert status(received(client)) == 408


def test_idle_connection_is_closed(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert received(client) == b""


@pytest.mark.parametrize(
    "length", [b"Content-Length: 100000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_body_that_does_not_come_is_answered_408(server: Server, length: bytes) -> None:
    response = server.exchange(HEAD + length)
    assert (status(response), error(response)) == (408, "The body came slower than 1000 bytes in 0.5 seconds")


def test_body_that_drips_is_answered_408(server: Server) -> None:
    stop = threading.Event()
    with server.connect() as client:
        client.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")

        def drip() -> None:
            while not stop.wait(0.05):
                client.send(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        response = client.recv(1 << 16)
        stop.set()
        dripping.join()
    assert status(response) == 408


def test_body_that_takes_too_long_in_all_is_answered_408() -> None:
    with (
        serving(echo, SOON._replace(body_seconds=0.5, window_seconds=20)) as server,
        server.connect() as client,
    ):
        client.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 2000)
        assert error(received(client)) == "The body took too long"


def test_fast_start_does_not_earn_a_stall(server: Server) -> None:
    with server.connect() as client:
        client.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 900_000)
        assert status(received(client)) == 408


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_does_not_read_is_disconnected(stream: bool) -> None:
    large = Large(64 << 20, stream=stream)
    with serving(large) as server, server.connect(receive_buffer=4096) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reset = select.poll()
        reset.register(client, select.POLLHUP)
        assert reset.poll(30_000)
        assert len(received(client)) < 64 << 20
    if stream:
        assert large.closed.wait(30)
        assert large.pieces < 1000


def test_client_that_reads_slowly_but_enough_gets_everything() -> None:
    large = Large(4 << 20, stream=True)
    with (
        serving(large, SOON._replace(window_seconds=20)) as server,
        server.connect(receive_buffer=4096) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert received(client).endswith(b"x" * (4 << 20))
    assert large.closed.is_set()


def test_large_response_to_a_slow_client_is_complete() -> None:
    """The rest of it moves to a file after a second, and comes from there."""
    large = Large(16 << 20)
    read = threading.Event()
    with (
        serving(large, SOON._replace(window_seconds=20)) as server,
        server.connect(receive_buffer=4096) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        read.wait(2.5)
        assert received(client).endswith(b"x" * (16 << 20))


def test_headers_without_end_are_bounded_in_bytes(server: Server) -> None:
    response = server.exchange(HEAD + b"X-Long: " + b"x" * (MAX_HEAD_BYTES + 1))
    assert status(response) == 431


def test_malformed_request_is_answered_400(server: Server) -> None:
    assert status(server.exchange(b"NONSENSE\r\n\r\n")) == 400


def test_http2_preface_is_refused(server: Server) -> None:
    assert status(server.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) in (400, 505)


def test_upgrade_to_http2_is_answered_as_http1(server: Server) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    response = server.exchange(HEAD + upgrade + b"Content-Length: 3\r\n\r\nabc")
    assert status(response) == 200
    assert orjson.loads(response.partition(b"\r\n\r\n")[2])["body"] == 3


def test_slow_clients_hold_no_thread() -> None:
    """One handler thread, thirty clients that send nothing: a thirty-first is served at once."""
    with serving(echo, SOON._replace(window_seconds=20, head_seconds=20), threads=1) as server:
        slow = [server.connect() for _ in range(30)]
        for client in slow:
            client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert (
            status(server.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) == 200
        )
        for client in slow:
            client.close()


def test_live_is_answered_while_every_thread_is_busy() -> None:
    gate = Gate()
    with serving(gate, threads=1) as server, server.connect() as busy:
        busy.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert gate.entered.acquire(timeout=30)
        response = server.exchange(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        gate.opened.set()
        assert response.endswith(b'{"status": "alive"}')
        assert received(busy).endswith(b"through")
