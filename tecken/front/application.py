"""The ASGI application: one request from its headers to the last byte of its response."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from io import BytesIO
from typing import Any, Final, TypeVar

import orjson
from uvicorn.config import Config
from uvicorn.server import ServerState

from tecken.front.bodies import (
    Body,
    BodyRule,
    Disconnected,
    Receive,
    Send,
    SpoolBudget,
    SpoolFull,
    UnreadBody,
    refusal,
    rule_for,
    send_error,
    send_json,
    send_piece,
    send_slices,
    send_start,
    send_whole,
)
from tecken.front.bridge import Application, Environ, Response, Scope, Take, call, wsgi_environ
from tecken.front.config import DEADLINES, MEMORY_BYTES, Deadlines
from tecken.front.dispatcher import Dispatcher
from tecken.front.protocol import DeadlineProtocol
from tecken.http.decorators import REFUSAL
from tecken.runtimeconfig.current import options
from tecken.symbolication.warm_up import MODULE, WARM_UP_SECONDS, symbolicate

logger = logging.getLogger(__name__)

T = TypeVar("T")

LIVE_PATH: Final = "/health/live"
"""The event loop answers it itself, so that busy handler threads do not make a live process look dead."""

STREAMS: Final = 4
"""Threads per process that read downloads from storage. The handlers have others, so a storage that does not
respond delays downloads only."""

TURNS: Final = 4
"""Requests that one pass of the event loop answers by the shortcut: about a millisecond."""

CLOSE: Final = (b"connection", b"close")
RETRY_AFTER: Final = (b"retry-after", b"5")


class Front:
    """ASGI application that runs a WSGI application in threads.

    Requests with small bodies for which `shortcut` has a response need no thread. `take` may take a request
    without a body from the protocol, before it comes here. `on_start` is run before the port opens.
    """

    def __init__(
        self,
        application: Application,
        threads: int,
        deadlines: Deadlines = DEADLINES,
        shortcut: Callable[[Scope, bytes], Awaitable[Response | None]] | None = None,
        *,
        take: Take | None = None,
        on_start: Callable[[Front], Awaitable[None]] | None = None,
    ) -> None:
        self._call = partial(call, application)
        self._shortcut = shortcut
        self.take = take
        self._on_start = on_start
        self._turns = TURNS
        self._threads = threads
        self.deadlines = deadlines
        self._started: Dispatcher | None = None
        self._streams = ThreadPoolExecutor(STREAMS, "front-stream")
        self._budget = SpoolBudget()
        # Files that take minutes to arrive would otherwise leave no room for the bodies of other requests.
        self._slow_budget = SpoolBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the start and the end of the process."""
        if scope["type"] == "lifespan":
            await self._follow_process(receive, send)
            return
        if scope["path"] == LIVE_PATH and scope["method"] in ("GET", "HEAD"):
            await send_json(send, 200, b'{"status": "alive"}')
            return
        length = _declared_length(scope)
        if length == 0:
            await self._respond(wsgi_environ(scope, BytesIO(), None), receive, send)
            return
        if length is not None and length <= MEMORY_BYTES:
            body: Body | None = Body(length)
        else:
            body = await self._admit(scope, length, receive, send)
        if body is not None:
            with closing(body):
                if await self._fill(body, receive, send):
                    await self._answer(scope, body, receive, send)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what `function` returns in a handler thread, raise what it raises."""
        return await self._dispatcher.run(function, *arguments)

    async def _follow_process(self, receive: Receive, send: Send) -> None:
        await receive()
        # A full garbage collection looks at every object for 50 ms, in which no request is answered. It need
        # not look at those of the start, which stay until the end. It comes first, so that the
        # made-up requests are the last work before the first request.
        gc.collect()
        if self._on_start:
            await self._on_start(self)
        gc.collect(1)
        gc.freeze()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def _dispatcher(self) -> Dispatcher:
        if self._started is None:
            self._started = Dispatcher(self._threads, asyncio.get_running_loop())
        return self._started

    async def _admit(self, scope: Scope, length: int | None, receive: Receive, send: Send) -> Body | None:
        """Return an empty body to be filled.

        A request that may not send a body is answered without reading it; then the result is None.
        """
        rule = rule_for(scope["path"])
        limit = rule.limit()
        unread = wsgi_environ(scope, UnreadBody(), None)
        if length is None or length <= limit:
            if rule.admit is not None:
                unread[REFUSAL] = await self._dispatcher.run(refusal, rule.admit, unread)
            if unread.get(REFUSAL) is None:
                return self._open_body(rule, limit)
        await self._respond(unread, receive, send)
        return None

    def _open_body(self, rule: BodyRule, limit: int) -> Body:
        """Return an empty body with its deadline, and with a budget unless it needed a permission."""
        if rule.seconds is not None:
            return Body(limit, rule.seconds, self._slow_budget)
        if rule.admit is not None:
            return Body(limit, self.deadlines.admitted_seconds)
        return Body(limit, self.deadlines.body_seconds, self._budget)

    async def _fill(self, body: Body, receive: Receive, send: Send) -> bool:
        """Read the body. On a failure, send the reason if the client is still connected, and return False."""
        try:
            await body.read(receive)
        except Disconnected:
            return False
        except TimeoutError:
            await send_error(send, 408, "The body took too long", CLOSE)
            return False
        except (SpoolFull, OSError) as error:
            logger.warning("Cannot store a request body: %r; the client receives a 503", error)
            text = "There is no room for a body of this size at the moment; try again later"
            await send_error(send, 503, text, RETRY_AFTER)
            return False
        return True

    async def _answer(self, scope: Scope, body: Body, receive: Receive, send: Send) -> None:
        """Answer a request whose body has been read."""
        if self._shortcut and body.content is not None:
            await self._wait_for_turn()
            response = await self._shortcut(scope, body.content)
            if response is not None:
                await send_whole(send, response.status, response.headers, response.whole)
                return
        await self._respond(wsgi_environ(scope, body.file, body.size), receive, send)

    async def _wait_for_turn(self) -> None:
        """Return at once, or in a later pass of the event loop if this one has answered TURNS requests.

        The loop accepts one connection in each pass. With long passes, many busy connections would keep new
        ones waiting, those of health checks among them.
        """
        while not self._turns:
            await asyncio.sleep(0)
        if self._turns == TURNS:
            asyncio.get_running_loop().call_soon(self._begin_pass)
        self._turns -= 1

    def _begin_pass(self) -> None:
        self._turns = TURNS

    async def _respond(self, request: Environ, receive: Receive, send: Send) -> None:
        response = await self._dispatcher.run(self._call, request)
        if response.pieces is None:
            await send_whole(send, response.status, response.headers, response.whole)
            return
        try:
            await send_start(send, response.status, response.headers)
            if request["REQUEST_METHOD"] == "HEAD" or await self._send_stream(receive, send, response.pieces):
                await send_piece(send, b"", more=False)
        finally:
            await self._in_stream_thread(response.close)

    async def _send_stream(self, receive: Receive, send: Send, pieces: Iterator[bytes]) -> bool:
        """Read each piece only after the client has taken the one before. Return whether it took all."""
        # After a disconnect, uvicorn's `send` does nothing and returns. Without this task the loop would read
        # a whole download from storage for a client that has left.
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            while (
                not disconnect.done()
                and (piece := await self._in_stream_thread(next, pieces, None)) is not None
            ):
                await send_slices(send, piece)
            return not disconnect.done()
        finally:
            disconnect.cancel()

    async def _in_stream_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._streams, function, *arguments)


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _declared_length(scope: Scope) -> int | None:
    """Return the Content-Length, 0 without a body, None for a chunked one. The parser has checked both."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            length = None
        elif name == b"content-length" and length is not None:
            length = int(value)
    return length


# Made-up requests before the port opens. None of them is counted or logged: the one that passes Django is for
# a page that nothing counts, and the symbolication is not that of the view.

ROUNDS: Final = 8
"""Python specialises the code of a function when it has run some times."""

BODY: Final = orjson.dumps({"memoryMap": [list(MODULE)], "stacks": [[[0, 0]]]})
SCOPE: Final[Scope] = {
    "method": "POST",
    "raw_path": b"/symbolicate/v5",
    "scheme": "https",
    "query_string": b"",
    # As behind a proxy that ends TLS, so that the request is not left to a redirect to HTTPS.
    "headers": [(b"x-forwarded-proto", b"https")],
}
HEAD: Final = (b"GET /__lbheartbeat__ HTTP/1.1", b"Host: localhost", b"X-Forwarded-Proto: https")
REQUEST: Final = b"\r\n".join((*HEAD, b"Connection: close", b"", b""))


class UnsweptProtocol(DeadlineProtocol):
    """Connection that no sweep follows: that of the process is for the connections of its server."""

    def start_sweeping(self) -> None:
        """Do nothing."""


async def warm_up(config: Config, front: Front) -> None:
    """Run made-up requests, for WARM_UP_SECONDS at most. Raises nothing."""
    try:
        async with asyncio.timeout(WARM_UP_SECONDS):
            for _ in range(ROUNDS):
                await _run_requests(config, front)
    except Exception as error:  # noqa: BLE001 - a process must start without it
        logger.debug("Cannot prepare the front: %r; its first request takes longer", error)


async def _run_requests(config: Config, front: Front) -> None:
    # The first request for symbols finds the handler thread started, with its memory, and all code run.
    await front.run(symbolicate)
    # No frame of the module is cached, so the shortcut gives no answer and counts nothing.
    if front._shortcut:
        await front._shortcut(SCOPE, BODY)
    # The first request finds the parser and the middleware run. It is logged only if all requests are.
    if not options().log_requests:
        await _exchange(config)


async def _exchange(config: Config) -> None:
    """Send a request over a pair of sockets, and read its response."""
    loop = asyncio.get_running_loop()
    server, client = socket.socketpair()
    client.setblocking(False)
    with client:
        await loop.connect_accepted_socket(lambda: UnsweptProtocol(config, ServerState(), {}, loop), server)
        await loop.sock_sendall(client, REQUEST)
        while await loop.sock_recv(client, 1 << 16):
            pass
