"""A web server that loads the site, reads its configuration, and only then forks, as preloading servers do.

`python -m tests.support.prefork PORT`
"""

from __future__ import annotations

import os
import signal
import sys
from socketserver import ThreadingMixIn
from types import FrameType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from tests.support.observed import application, observed

PROCESSES = 2


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def fork(server: Server) -> int:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server.serve_forever()
    return child


def serve(port: int) -> None:
    """Run until SIGTERM, or until the first process ends."""
    server = Server(("127.0.0.1", port), Silent)
    server.set_app(application)
    server.socket.setblocking(False)  # all processes hear of a connection, and one gets it
    observed()
    children = [fork(server) for _ in range(PROCESSES)]

    def end(_number: int, _frame: FrameType | None) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
