"""Sending of responses, piece by piece as the client takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from tempfile import TemporaryFile
from typing import IO, Any, Final

import orjson
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tecken.front.body import disk_threads
from tecken.front.bridge import HeaderList
from tecken.front.deadlines import CHUNK_BYTES
from tecken.front.protocol import respond

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
