"""A local HTTP upstream that does what its script says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote

from tests.support.background_server import BackgroundServer

CHUNK_BYTES = 1 << 16


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    length: bool = True  # says Content-Length
    mute: bool = False  # takes the request and says nothing
    hang_up: bool = False  # closes without a word
    cut: int | None = None  # closes after so many bytes of the body
    drip: float | None = None  # sends head and body byte by byte, so many seconds apart


class Request(NamedTuple):
    path: str  # as sent, still quoted
    headers: Mapping[str, str]
    port: int  # of the client: one per connection


class HttpUpstream:
    """Upstream whose `script` maps an unquoted path to a reply or a list of replies; the last one stays."""

    def __init__(self) -> None:
        self.script: dict[str, Reply | list[Reply]] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def reply(self, path: str) -> Reply:
        found = self.script.get(path, Reply(404, b"Symbol Not Found"))
        if isinstance(found, Reply):
            return found
        return found.pop(0) if len(found) > 1 else found[0]

    @contextmanager
    def running(self) -> Iterator[HttpUpstream]:
        with BackgroundServer(self._server):
            try:
                yield self
            finally:
                self.closing.set()


def _handler(upstream: HttpUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            upstream.requests.append(Request(self.path, dict(self.headers), self.client_address[1]))
            reply = upstream.reply(unquote(self.path))
            try:
                self._say(reply)
            except ConnectionError:
                self.close_connection = True

        do_HEAD = do_GET

        def _say(self, reply: Reply) -> None:
            if reply.mute:
                upstream.closing.wait()
                self.close_connection = True
            elif reply.hang_up:
                self.close_connection = True
            elif reply.drip is not None:
                self._drip(reply, reply.drip)
            else:
                self._head(reply)
                if self.command != "HEAD":
                    self._body(reply)

        def _head(self, reply: Reply) -> None:
            self.send_response(reply.status)
            length = {"Content-Length": str(len(reply.body))} if reply.length else {}
            for name, value in {**length, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _body(self, reply: Reply) -> None:
            body = memoryview(reply.body)[: reply.cut]
            for at in range(0, len(body), CHUNK_BYTES):
                self.wfile.write(body[at : at + CHUNK_BYTES])
            if reply.cut is not None:
                self.close_connection = True

        def _drip(self, reply: Reply, seconds: float) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(reply.body)}\r\n\r\n".encode()
            for at in head + reply.body:
                self.wfile.write(bytes([at]))
                if upstream.closing.wait(seconds):
                    break
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
