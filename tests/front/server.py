"""A front of its own in this process, with deadlines that a test can wait for."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from django.db import connections

from tecken.front.application import Front
from tecken.front.config import Deadlines, server_config

SOON = Deadlines(
    head_seconds=0.5,
    window_seconds=0.5,
    body_bytes=1000,
    body_seconds=4,
    admitted_seconds=4,
    discard_seconds=1,
    idle_seconds=2,
)
PATIENCE = 30.0  # seconds until a test gives up on a socket


def without_connections(application: Any) -> Any:
    """Return a WSGI application that leaves no connection to the database in the thread that called it.

    The threads of a front are never told that a test has ended, and PostgreSQL removes no database that has a
    connection.
    """

    def call(environ: Any, start_response: Any) -> Any:
        try:
            return application(environ, start_response)
        finally:
            connections.close_all()

    return call


class Server:
    """`port` answers with what `application`, a WSGI one or a Front, returns."""

    def __init__(
        self,
        application: Any,
        deadlines: Deadlines = SOON,
        threads: int = 2,
        send_buffer: int | None = None,
    ) -> None:
        is_front = isinstance(application, Front)
        self.front = application if is_front else Front(without_connections(application), threads, deadlines)
        config = server_config(self.front, deadlines, loop="asyncio", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        # The sockets of connections have the buffers of this one.
        if send_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._server.run(sockets=[self._socket])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        client.settimeout(PATIENCE)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port))
        return client

    def exchange(self, *pieces: bytes) -> bytes:
        """Send the pieces, then return everything until the server closes the connection."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return received(client)


def received(client: socket.socket) -> bytes:
    """Return everything until the server closes the connection, in order or with a reset."""
    pieces = []
    with suppress(ConnectionResetError):
        while piece := client.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def serving(
    application: Any, deadlines: Deadlines = SOON, threads: int = 2, send_buffer: int | None = None
) -> Iterator[Server]:
    server = Server(application, deadlines, threads, send_buffer)
    # The server collects garbage when it starts, also that of earlier tests. Clients of Redis close their
    # connections when they are collected, but the collector may come to the socket first, which warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        server.start()
        try:
            yield server
        finally:
            server.stop()
