"""A TCP server on loopback that says one thing, for answers that no healthy server can be brought to give."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self


class ScriptedServer:
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

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
