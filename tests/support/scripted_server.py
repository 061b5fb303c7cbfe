"""A TCP server on loopback that says one thing, for answers that no healthy server can be brought to give."""

from __future__ import annotations

import socketserver

from tests.support.background_server import BackgroundServer


class ScriptedServer(BackgroundServer):
    """Answers whatever arrives with `reply`, or hangs up when there is none; `received` is what arrived."""

    def __init__(self, reply: bytes = b"") -> None:
        self.received: list[bytes] = []
        received = self.received

        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while data := self.request.recv(65536):
                    received.append(data)
                    if not reply:
                        return
                    self.request.sendall(reply)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        server.daemon_threads = True
        super().__init__(server)
