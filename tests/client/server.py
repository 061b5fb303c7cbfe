"""A server on loopback that does what its script says, and keeps what it was sent."""

from __future__ import annotations

import json
import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, NamedTuple, cast
from zipfile import ZipFile

from tests.support.background_server import BackgroundServer


class Reply(NamedTuple):
    status: int = 200
    said: Any = None  # JSON, or bytes as they are
    headers: Mapping[str, str] = {}
    hang_up: bool = False  # closes without a word
    interrupt: bool = False  # Ctrl-C in this process, and then the same

    @property
    def body(self) -> bytes:
        return self.said if isinstance(self.said, bytes) else json.dumps(self.said).encode()


class Request(NamedTuple):
    method: str
    path: str
    headers: Message
    body: bytes

    def form(self) -> dict[str, bytes]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts()
        return {
            part["Content-Disposition"].params["name"]: cast(bytes, part.get_payload(decode=True))
            for part in parts
        }

    def members(self) -> dict[str, bytes]:
        """Return the members of the zip archive in the form."""
        (archive,) = (content for name, content in self.form().items() if name.endswith(".zip"))
        with ZipFile(BytesIO(archive)) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}


class SymbolServer:
    """Server whose `script` maps `<METHOD> <path>` to a reply or a list of replies; the last one stays."""

    def __init__(self) -> None:
        self.script: dict[str, Reply | list[Reply]] = {
            "POST /upload/auth_info/": Reply(said={"upload_api_version": 1, "try_symbols": False}),
            "GET /__version__": Reply(said={"version": "1.0"}),
            "POST /upload/": Reply(201, {"upload": {"skipped_keys": [], "ignored_keys": []}}),
        }
        self.requests: dict[str, list[Request]] = defaultdict(list)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.block_on_close = False  # a client may keep its connection for a minute
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def reply(self, told: str) -> Reply:
        found = self.script.get(told, Reply(404, {"error": "Not Found"}))
        if isinstance(found, Reply):
            return found
        return found.pop(0) if len(found) > 1 else found[0]

    def only(self, told: str) -> Request:
        (request,) = self.requests[told]
        return request

    @contextmanager
    def running(self) -> Iterator[SymbolServer]:
        with BackgroundServer(self._server):
            yield self


def _handler(server: SymbolServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            told = f"{self.command} {self.path}"
            server.requests[told].append(Request(self.command, self.path, self.headers, body))
            reply = server.reply(told)
            if reply.interrupt:
                os.kill(os.getpid(), signal.SIGINT)
            if reply.hang_up or reply.interrupt:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
