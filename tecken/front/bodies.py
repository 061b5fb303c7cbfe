"""Bodies of requests and responses: admitted, read with bounds, and sent as the client takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, Final, NamedTuple, cast

import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, close_old_connections
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tecken.errors import TeckenError, Unavailable
from tecken.front.bridge import Environ, HeaderList
from tecken.front.config import CHUNK_BYTES, MEMORY_BYTES, SPOOL_BYTES
from tecken.front.protocol import respond
from tecken.runtimeconfig import current
from tecken.runtimeconfig.snapshot import Subject
from tecken.storage import services as storage_services
from tecken.web.middleware import SLASHES

Receive = Callable[[], Awaitable[dict[str, Any]]]

WRITE_BYTES: Final = 1 << 20
"""Size of the pieces in which a body is written to its file. A write per network read would need more thread
switches."""

# Writing to a disk may block for seconds when it is busy, so the event loop leaves it to these threads.
disk_threads = ThreadPoolExecutor(2, "front-disk")


class Disconnected(Exception):
    """Error for a client that left, or missed a deadline, before its body was complete."""


class SpoolFull(Exception):
    """Error for the limit of all unnamed files of requests that need no permission."""


class UnreadBody:
    """Placeholder for the body of a request that will be refused, which is never read."""

    def read(self, _size: int = -1) -> bytes:
        """Raise OSError."""
        raise OSError("the request was refused before its body was read")

    readline = read


class SpoolBudget:
    """Number of bytes in unnamed files of this process. Only the event loop uses it, so it has no lock."""

    def __init__(self, limit: int = SPOOL_BYTES) -> None:
        self._limit = limit
        self._used = 0

    def take(self, size: int) -> None:
        """Raise SpoolFull when `size` more bytes would pass the limit."""
        if self._used + size > self._limit:
            raise SpoolFull
        self._used += size

    def release(self, size: int) -> None:
        """Subtract the bytes of a file that was closed."""
        self._used -= size


class Body:
    """Body of one request, up to `limit` + 1 bytes: the additional byte shows that it is too large."""

    def __init__(self, limit: int, seconds: float | None = None, budget: SpoolBudget | None = None) -> None:
        """Create an empty body.

        Args:
            limit: Largest size in bytes that the view accepts.
            seconds: Deadline for the whole body. Without it, the minimum rate alone bounds the time.
            budget: Budget for the unnamed file. Without it, `limit` alone bounds its size.
        """
        self._limit = limit
        self._seconds = seconds
        self._budget = budget
        self._pieces: list[bytes] = []
        self._held = 0
        self._spooled = 0
        self.size = 0
        self.file: BinaryIO = BytesIO()
        self.content: bytes | None = None

    async def read(self, receive: Receive) -> None:
        """Fill `file` until the end of the body, or until the limit is passed.

        Raises:
            Disconnected: The client has left.
            TimeoutError: The body took longer than its deadline.
            SpoolFull: The budget is used up.
            OSError: The disk is full or broken.
        """
        if self._seconds is None:
            await self._read_all(receive)
        else:
            async with asyncio.timeout(self._seconds):
                await self._read_all(receive)
        if self._spooled:
            await self._spool()
            self.file.seek(0)
        else:
            self.content = b"".join(self._pieces)
            self.file = BytesIO(self.content)

    async def _read_all(self, receive: Receive) -> None:
        more = True
        while more and self.size <= self._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = message["more_body"]
            self._add(message["body"])
            if self._held > (WRITE_BYTES if self._spooled else MEMORY_BYTES):
                await self._spool()

    def close(self) -> None:
        """Free the file. It has no name, so the kernel frees that of a killed process, too."""
        self.file.close()
        if self._budget is not None:
            self._budget.release(self._spooled)
        self._spooled = 0

    def _add(self, piece: bytes) -> None:
        # One byte past the limit is enough to refuse the body; the rest would only take memory.
        piece = piece[: self._limit + 1 - self.size]
        self._pieces.append(piece)
        self._held += len(piece)
        self.size += len(piece)

    async def _spool(self) -> None:
        if not self._spooled:
            # `close` closes it.
            self.file = cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR))  # noqa: SIM115
        if self._budget is not None:
            self._budget.take(self._held)
        self._spooled += self._held
        data, self._pieces, self._held = b"".join(self._pieces), [], 0
        await asyncio.get_running_loop().run_in_executor(disk_threads, self.file.write, data)


NO_VIEW_BYTES: Final = 64 << 10
"""Limit for a URL that has no view: enough to read a stray body whole."""


class BodyRule(NamedTuple):
    """Rule of one URL: `limit()` in bytes, and the check that a large body must pass before it is read.

    `seconds` is the deadline of a body that needs no permission, for a view that has one of its own.
    """

    limit: Callable[[], int]
    admit: Callable[[HttpRequest], object] | None = None
    seconds: float | None = None


@lru_cache(maxsize=1024)
def rule_for(path: str) -> BodyRule:
    """Return the rule of a URL path. Views without a limit of their own have that of forms."""
    try:
        view, args, kwargs = resolve(SLASHES.sub("/", path))
    except Resolver404:
        return BodyRule(lambda: NO_VIEW_BYTES)
    admit = getattr(view, "admit", None)
    return BodyRule(
        getattr(view, "body_limit", _form_limit),
        admit and _with(admit, args, kwargs),
        getattr(view, "body_seconds", None),
    )


def refusal(admit: Callable[[HttpRequest], object], meta: Environ) -> TeckenError | None:
    """Return the error of the view's check or of a full disk, or None if the body may be read."""
    close_old_connections()
    try:
        with current.pinned(Subject()):
            admit(WSGIRequest(meta))
        storage_services.disk_space().check(int(meta.get("CONTENT_LENGTH") or 0))
    except TeckenError as error:
        return error
    except DatabaseError:
        return Unavailable("The database does not answer")
    finally:
        close_old_connections()
    return None


def _with(
    admit: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> Callable[[HttpRequest], object]:
    return lambda request: admit(request, *args, **kwargs)


def _form_limit() -> int:
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


Send = Callable[[dict[str, Any]], Awaitable[None]]

LARGE_BYTES: Final = 1 << 20
"""Size up to which the rest of a response stays in memory while its client is slow."""

SLOW_SECONDS: Final = 1.0
"""A client that has taken nothing for this long is slow: the rest of its response moves to a file."""

BODILESS: Final = frozenset({204, 304})


async def send_start(send: Send, status: int, headers: HeaderList) -> None:
    """Send the status and the headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_piece(send: Send, piece: bytes | memoryview, *, more: bool) -> None:
    """Send a part of the body. `more` is False for the last one."""
    await send({"type": "http.response.body", "body": piece, "more_body": more})


async def send_json(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole response with a JSON body."""
    await send_start(send, status, with_length([(b"content-type", b"application/json"), *headers], len(body)))
    await send_piece(send, body, more=False)


async def send_error(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """Send an error in the form that all errors of the site have."""
    await send_json(send, status, orjson.dumps({"error": text}), *headers)


async def send_whole(send: Send, status: int, headers: HeaderList, bodies: list[bytes]) -> None:
    """Send a body from memory, the only item of `bodies`. It is removed from the list to be freed early."""
    body = bodies.pop()
    headers = headers if status in BODILESS else with_length(headers, len(body))
    if len(body) <= CHUNK_BYTES:
        await _send_small(send, status, headers, body)
        return
    await send_start(send, status, headers)
    at = await _send_while_quick(send, body)
    # A thousand slow clients with a large response each would fill the memory, so the rest moves to a file.
    if at < len(body):
        with TemporaryFile(dir=settings.SPOOL_DIR) as rest:
            await _in_disk_thread(_write, rest, memoryview(body)[at:])
            del body
            while piece := await _in_disk_thread(rest.read, CHUNK_BYTES):
                await send_piece(send, piece, more=True)
    await send_piece(send, b"", more=False)


async def _send_small(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, RequestResponseCycle):
        if cycle.flow.write_paused:
            await cycle.flow.drain()
        respond(cycle, status, headers, body)
    else:
        await send_start(send, status, headers)
        await send_piece(send, body, more=False)


async def send_slices(send: Send, body: bytes) -> None:
    """Send one part of a longer body in slices. uvicorn's `send` waits until the transport has room again."""
    for at in range(0, len(body), CHUNK_BYTES):
        await send_piece(send, memoryview(body)[at : at + CHUNK_BYTES], more=True)


async def _send_while_quick(send: Send, body: bytes) -> int:
    """Send until the end, or until the client is slow and much is left. Return the number of bytes sent."""
    for at in range(0, len(body), CHUNK_BYTES):
        piece = memoryview(body)[at : at + CHUNK_BYTES]
        if len(body) - at < LARGE_BYTES:
            await send_piece(send, piece, more=True)
            continue
        try:
            # `send` first waits for room and then writes, so a cancelled one has written nothing.
            async with asyncio.timeout(SLOW_SECONDS):
                await send_piece(send, piece, more=True)
        except TimeoutError:
            return at
    return len(body)


def _write(file: IO[bytes], rest: memoryview) -> None:
    file.write(rest)
    file.seek(0)


async def _in_disk_thread(function: Callable[..., Any], *arguments: object) -> Any:
    return await asyncio.get_running_loop().run_in_executor(disk_threads, function, *arguments)


def with_length(headers: HeaderList, length: int) -> HeaderList:
    """Return the headers with a Content-Length, that of the handler if it has set one."""
    if any(name.lower() == b"content-length" for name, _ in headers):
        return headers
    return [*headers, (b"content-length", b"%d" % length)]
