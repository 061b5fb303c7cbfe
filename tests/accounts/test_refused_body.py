"""A build machine that uploads with a bad token must read why, also while it is still sending."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tecken.settings import BASE_DIR
from tests.support.redis_server import free_port

PIECES = 30
PIECE = bytes(1_000_000)
STARTS_WITHIN = 60.0  # seconds
HEAD = f"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuth-Token: {'0' * 64}\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    database = tmp_path_factory.mktemp("site") / "db"
    number = free_port()
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{database}", "WEB_PORT": str(number)}
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=BASE_DIR, env=environment, check=True)
    command = [sys.executable, "-m", "tecken.front", "tests.accounts.guarded:front"]
    server = subprocess.Popen(command, cwd=BASE_DIR, env=environment)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10), timeout=STARTS_WITHIN) as client:
            assert client.get(f"http://127.0.0.1:{number}/").status_code == 403
        yield number
    finally:
        server.terminate()
        server.wait(15)


def answer(port: int, head: str, pieces: list[bytes]) -> bytes:
    """From a client that reads nothing before it has sent everything."""
    with socket.create_connection(("127.0.0.1", port), timeout=STARTS_WITHIN) as connection:
        connection.sendall(f"{HEAD}{head}\r\n".encode())
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_refused_client_that_sends_its_body_reads_the_403(port: int) -> None:
    said = answer(port, f"Content-Length: {PIECES * len(PIECE)}\r\n", [PIECE] * PIECES)
    assert said.startswith(b"HTTP/1.1 403")
    assert said.endswith(b'{"error":"API Token not matched"}')


def test_refused_client_with_a_chunked_body_reads_the_403(port: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
    said = answer(port, "Transfer-Encoding: chunked\r\n", [*[chunk] * PIECES, b"0\r\n\r\n"])
    assert said.startswith(b"HTTP/1.1 403")
    assert said.endswith(b'{"error":"API Token not matched"}')


def test_refused_client_that_expects_100_reads_the_403_without_sending(port: int) -> None:
    said = answer(port, "Expect: 100-continue\r\nContent-Length: 30000000\r\n", [])
    assert said.startswith(b"HTTP/1.1 403")


def test_refused_client_that_disconnects_delays_no_other(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: 30000000\r\n\r\n".encode())
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=STARTS_WITHIN).status_code == 403
