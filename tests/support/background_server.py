"""A server of socketserver that answers from a thread of its own."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self

POLL = 0.01  # seconds until a server notices that it shall end


class BackgroundServer:
    """Context manager that serves requests to `server` and closes it at the end."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(POLL,))

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
        self._thread.join()
        self._server.server_close()
