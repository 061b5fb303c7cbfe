"""The environment of a handler, and the delivery of its response."""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from tecken.front.application import Front
from tecken.front.bodies import Body, SpoolBudget, SpoolFull, rule_for
from tecken.front.config import MEMORY_BYTES, server_config
from tests.front.applications import Large, echo
from tests.front.server import SOON, Server, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(echo, SOON._replace(head_seconds=20, window_seconds=20, body_seconds=20)) as server:
        yield server


def ask(
    server: Server, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), content


def seen(server: Server, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    status, _, content = ask(server, method, path, body, **headers)
    assert status == 200
    found: dict[str, Any] = orjson.loads(content)
    return found


def test_environ_has_the_path_as_wsgi_spells_it(server: Server) -> None:
    environ = seen(server, "GET", "/a%20b/%E2%82%AC?x=%20")
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/€"
    assert environ["QUERY_STRING"] == "x=%20"


def test_environ_keeps_slashes_in_front(server: Server) -> None:
    assert seen(server, "GET", "//xul.pdb/0/xul.sym")["PATH_INFO"] == "//xul.pdb/0/xul.sym"


def test_environ_has_no_header_with_an_underscore(server: Server) -> None:
    environ = seen(server, "GET", "/", **{"X_Forwarded_For": "1.2.3.4", "X-Real": "yes"})
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_REAL"] == "yes"


def test_repeated_headers_are_joined(server: Server) -> None:
    headers = b"Connection: close\r\nCookie: a=1\r\nCookie: b=2\r\nX-A: 1\r\nX-A: 2\r\n"
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
    environ = orjson.loads(server.exchange(request).partition(b"\r\n\r\n")[2])
    assert (environ["HTTP_COOKIE"], environ["HTTP_X_A"]) == ("a=1;b=2", "1,2")


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3 << 20])
def test_body_of_any_size_arrives_whole(server: Server, size: int) -> None:
    environ = seen(server, "POST", "/symbolicate/v5", b"x" * size)
    assert (environ["body"], environ["CONTENT_LENGTH"]) == (size, str(size))


def test_chunked_body_arrives_with_its_length(server: Server) -> None:
    pieces = iter([b"x" * 100_000] * 3)
    environ = seen(server, "POST", "/symbolicate/v5", pieces, **{"Transfer-Encoding": "chunked"})
    assert (environ["body"], environ["CONTENT_LENGTH"]) == (300_000, "300000")


def test_chunked_body_past_the_limit_is_read_one_byte_too_far(server: Server) -> None:
    limit = rule_for("/symbolicate/v5").limit()
    pieces = iter([b"x" * (1 << 20)] * 12)
    environ = seen(server, "POST", "/symbolicate/v5", pieces, **{"Transfer-Encoding": "chunked"})
    assert environ["body"] == limit + 1


def test_rule_of_a_path_with_double_slashes_is_that_of_its_view() -> None:
    assert rule_for("//upload/").limit() == rule_for("/upload/").limit() > 1 << 30


def test_minidumps_have_a_deadline_and_a_budget_of_their_own() -> None:
    rule = rule_for("/process/minidump")
    assert rule.seconds == 600
    assert rule.admit is not None
    front = Front(echo, 1)
    slow, quick = (front._open_body(other, 1) for other in (rule, rule_for("/symbolicate/v5")))
    assert slow._budget is not None
    assert slow._budget is not quick._budget
    assert (slow._seconds, quick._seconds) == (600, 60)
    assert front._open_body(rule_for("/upload/"), 1)._budget is None


def test_body_past_the_limit_is_not_read(server: Server) -> None:
    length = str(rule_for("/symbolicate/v5").limit() + 1)
    status, _, text = ask(server, "POST", "/symbolicate/v5", b"x", **{"Content-Length": length})
    assert (status, text) == (413, b"the request was refused before its body was read")


def test_head_has_no_body_but_a_length(server: Server) -> None:
    status, headers, content = ask(server, "HEAD", "/")
    assert (status, content) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_disk_without_room_is_answered_503(server: Server, settings: Any) -> None:
    settings.SPOOL_DIR = "/dev/null"
    status, headers, content = ask(server, "POST", "/symbolicate/v5", b"x" * (MEMORY_BYTES + 1))
    assert (status, headers["retry-after"]) == (503, "5")
    assert b"no room" in content


def test_budget_bounds_bodies_together() -> None:
    budget = SpoolBudget(300_000)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 200_000, "more_body": False}

    first, second, third = (Body(1 << 20, 10, budget) for _ in range(3))
    asyncio.run(first.read(receive))
    with closing(second), pytest.raises(SpoolFull):
        asyncio.run(second.read(receive))
    first.close()
    with closing(third):
        asyncio.run(third.read(receive))
        assert third.file.read() == b"x" * 200_000


def test_stream_of_a_client_that_leaves_is_closed() -> None:
    large = Large(256 << 20, stream=True)
    with serving(large, SOON._replace(window_seconds=20)) as server:
        with server.connect(receive_buffer=4096) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(100)
        assert large.closed.wait(30)
    assert large.pieces < 4096


def test_spooled_bodies_leave_no_file(server: Server, settings: Any, tmp_path: Path) -> None:
    settings.SPOOL_DIR = str(tmp_path)
    assert seen(server, "POST", "/symbolicate/v5", b"x" * (2 << 20))["body"] == 2 << 20
    assert os.listdir(tmp_path) == []


def test_config_load_puts_a_wsgi_application_behind_a_front() -> None:
    config = server_config("tests.front.applications:echo")
    config.load()
    assert isinstance(config.loaded_app, Front)


def test_config_load_keeps_a_front() -> None:
    front = Front(echo, threads=1)
    config = server_config(front)
    config.load()
    assert config.loaded_app is front
