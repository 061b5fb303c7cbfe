"""Request bodies: read from the client without a thread, then passed to the handler as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, cast

from django.conf import settings

from tecken.front.deadlines import MEMORY_BYTES, SPOOL_BYTES

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
