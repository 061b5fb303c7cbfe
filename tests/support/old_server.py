"""A server that says it is an old one: a relay before a real server, which changes a word of its answers."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

VERSION = re.compile(rb"(?<=redis_version:)\d")


class OldServer:
    """Says it is a version of Redis 1, whatever the one on `port` of 127.0.0.1 is. A context manager."""

    def __init__(self, port: int) -> None:
        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as real:
                    threading.Thread(target=_pass_on, args=(real, self.request), daemon=True).start()
                    while data := self.request.recv(65536):
                        real.sendall(data)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _pass_on(real: socket.socket, client: socket.socket) -> None:
    try:
        while data := real.recv(65536):
            client.sendall(VERSION.sub(b"1", data))
    except OSError:
        return  # one of them hung up
