"""A server that says it is an old one: a relay before a real server, which changes a word of its answers."""

from __future__ import annotations

import re
import socket
import socketserver
import threading

from tests.support.background_server import BackgroundServer

VERSION = re.compile(rb"(?<=redis_version:)\d")


class OldServer(BackgroundServer):
    """Says it is a version of Redis 1, whatever the one on `port` of 127.0.0.1 is. A context manager."""

    def __init__(self, port: int) -> None:
        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as real:
                    threading.Thread(target=_pass_on, args=(real, self.request), daemon=True).start()
                    while data := self.request.recv(65536):
                        real.sendall(data)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        server.daemon_threads = True
        super().__init__(server)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


def _pass_on(real: socket.socket, client: socket.socket) -> None:
    try:
        while data := real.recv(65536):
            client.sendall(VERSION.sub(b"1", data))
    except OSError:
        return  # one of them hung up
