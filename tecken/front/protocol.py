"""HTTP/1.1 connections with deadlines."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Set
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal, TypeGuard
from weakref import WeakSet

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tecken.front.bridge import Response, Take
from tecken.front.config import DEADLINES, MAX_CONNECTIONS, MAX_HEAD_BYTES, Deadlines

SWEEP_SECONDS: Final = 0.25
MAX_ENDED: Final = 25
"""Largest number of connections that one sweep ends. A thousand that miss the same deadline must not delay
other requests: closing each of them also closes the file of its response."""

REFUSAL_HEADERS: Final = ("Content-Type: application/json", "Connection: close")
NO_LINGER: Final = struct.pack("ii", 1, 0)

Header = tuple[bytes, bytes]
Phase = Literal["head", "body", "handling", "idle"]


class LingeringTransport:
    """Transport that closes only after the request has been received.

    Closing a socket with unread bytes resets the connection, and many clients then report the reset instead
    of the response, for example of a 403 to a large upload. So the rest of the request is discarded.
    """

    def __init__(self, transport: asyncio.Transport, protocol: DeadlineProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self.write = transport.write
        self.writelines = transport.writelines
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the connection, after the rest of a body that is still being received."""
        if not self._protocol.is_reading_body:
            self._transport.close()
        elif not self._protocol.is_lingering:
            self._protocol.is_lingering = True
            if self._transport.can_write_eof():
                self._transport.write_eof()


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines; uvicorn lets a client take any time for headers, body and response.

    It limits the bytes that a connection holds, and the time. A periodic sweep checks all connections of the
    process, so that a deadline costs a request two assignments and no timer of its own.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn would format a log line for each request, although no log handler uses it.
        self.access_log = False
        self._deadlines: Deadlines = getattr(self.app, "deadlines", DEADLINES)
        self._take: Take | None = getattr(self.app, "take", None)
        self._phase: Phase = "head"
        self._since = self.loop.time()
        self._head_bytes = 0
        self._window_bytes = 0
        self._window_since = 0.0
        self._stalled_since: float | None = None
        self._closing_since: float | None = None
        self.is_lingering = False

    # Events of the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, at the limit by closing another one."""
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()
        self.start_sweeping()

    def start_sweeping(self) -> None:
        """Start to enforce the deadlines of all connections of the server, unless that has begun."""
        _start_sweeping(self.loop, self.connections)

    def data_received(self, data: bytes) -> None:
        """Count the bytes and parse them. Refuse a malformed or too long head."""
        if self._phase == "idle":
            self._enter("head")
        if self._phase == "head":
            self._head_bytes += len(data)
        self._window_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "Malformed HTTP request")
        if self._phase == "head" and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"Request line and headers have more than {MAX_HEAD_BYTES} bytes")

    def pause_writing(self) -> None:
        """Note the time at which the client stopped reading."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._stalled_since = None
        super().resume_writing()

    # Events of the parser

    def on_headers_complete(self) -> None:
        """Begin the request, unless it has to be parsed again without its Upgrade header."""
        if not self.parser.should_upgrade():
            self._enter("body")
            super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request, unless the application takes it: a task takes longer than a small response."""
        start = partial(super()._start_asgi_task, cycle, app)
        # The usual way waits for a client that does not read. What is taken is counted, so it is not left to
        # that way afterwards.
        take = None if cycle.flow.write_paused else self._take
        if take is None or not take(cycle.scope, partial(_send, cycle, start)):
            start()

    def on_message_complete(self) -> None:
        """End the body. Close a connection that was kept open only for the rest of it."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._enter("idle" if self.cycle.response_complete else "handling")
        if self.is_lingering:
            self.transport.close()

    @property
    def is_reading_body(self) -> bool:
        """True until the request's body is complete."""
        return self._phase == "body"

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or to discard the rest of this one."""
        super().on_response_complete()
        if self._phase == "handling":
            self._enter("idle")
        elif self._phase == "body":
            # The request was refused, so the rest of its body is discarded. The time for that begins now.
            self._since = self.loop.time()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its Upgrade header, then `rest`, which followed its headers.

        llhttp stops at an upgrade and skips the body. Java's HttpClient offers one with every request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(400, "This is not a proxy")
            return
        lines = [b"%b %b HTTP/1.1" % (method, self.url)]
        lines += [
            b"%b: %b" % header for header in self.headers if header[0] not in (b"upgrade", b"connection")
        ]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    # Deadlines

    def enforce(self, now: float) -> None:
        """Disconnect the client if it has missed a deadline. `now` is the loop's time in seconds."""
        if self.transport.is_closing():
            self._enforce_close(now)
        elif self._stalled_since is not None:
            if now - self._stalled_since > self._deadlines.window_seconds:
                self._reset()
        elif self._phase == "head":
            if now - self._since > self._deadlines.head_seconds:
                self._refuse(408, f"The headers took longer than {self._deadlines.head_seconds:g} seconds")
        elif self._phase == "body":
            self._enforce_body(now)

    def _enforce_close(self, now: float) -> None:
        """Reset a closing connection whose client does not read: the transport would flush it for ever."""
        if self._closing_since is None:
            self._closing_since = now
        elif now - self._closing_since > self._deadlines.window_seconds:
            self._reset()

    def _enforce_body(self, now: float) -> None:
        limits = self._deadlines
        if self.flow.read_paused:
            # The client is not the slow side: the front waits for a permission check or for the disk.
            self._start_window(now)
        elif self.cycle is not None and self.cycle.response_complete:
            if now - self._since > limits.discard_seconds:
                self._reset()
        elif now - self._window_since > limits.window_seconds:
            if self._window_bytes < limits.body_bytes:
                pace = f"{limits.body_bytes} bytes in {limits.window_seconds:g} seconds"
                self._refuse(408, f"The body came slower than {pace}")
            self._start_window(now)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._head_bytes = 0
        self._start_window(self._since)

    def _start_window(self, now: float) -> None:
        self._window_since, self._window_bytes = now, 0

    def _refuse(self, status: int, text: str) -> None:
        """Send an error response if none has begun, and close the connection."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = orjson.dumps({"error": text})
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *REFUSAL_HEADERS
            self.transport.write("\r\n".join((*head, f"Content-Length: {len(body)}\r\n\r\n")).encode() + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._phase = "idle"
        self.transport.close()

    def _reset(self) -> None:
        """Drop the connection now, together with the bytes in the kernel that the client has not read."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()

    def _make_room(self) -> None:
        """Close a connection that has no request in progress: this one if all others have one."""
        others = (other for other in self.connections if other is not self and _is_waiting(other))
        next(others, self)._reset()


def respond(cycle: RequestResponseCycle, status: int, headers: Iterable[Header], body: bytes) -> None:
    """Send a whole response with one write. `headers` have its length.

    ASGI would take two messages, each awaited and each a packet of its own, and a second check of every
    header that Django has checked already.
    """
    if cycle.disconnected:
        return
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    # uvloop sends both with one system call, without a copy of the body.
    cycle.transport.writelines([b"".join(parts), b"" if cycle.scope["method"] == "HEAD" else body])
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _send(cycle: RequestResponseCycle, start: Callable[[], None], response: Response | None) -> None:
    """Send the response to a request that the application took; without one, start the request."""
    if response is None:
        start()
    else:
        respond(cycle, response.status, response.headers, response.whole[0])


def _is_waiting(connection: object) -> TypeGuard[DeadlineProtocol]:
    return isinstance(connection, DeadlineProtocol) and connection._phase in ("head", "idle")


_swept_loops: WeakSet[AbstractEventLoop] = WeakSet()


def _start_sweeping(loop: AbstractEventLoop, connections: Set[object]) -> None:
    if loop not in _swept_loops:
        _swept_loops.add(loop)
        loop.call_later(SWEEP_SECONDS, _sweep, loop, connections)


def _sweep(loop: AbstractEventLoop, connections: Set[object]) -> None:
    now, ended = loop.time(), 0
    for connection in tuple(connections):
        if isinstance(connection, DeadlineProtocol) and ended < MAX_ENDED:
            was_closing = connection.transport.is_closing()
            connection.enforce(now)
            ended += connection.transport.is_closing() != was_closing
    loop.call_later(SWEEP_SECONDS, _sweep, loop, connections)
