"""How long the front waits for a client, and how much it holds for one."""

from __future__ import annotations

from typing import Final, NamedTuple


class Deadlines(NamedTuple):
    """Seconds and bytes. The defaults suit a phone on a bad line, which has some 10 KB/s.

    A client that is slower than `body_bytes` (or, when reading, one chunk of 64 KiB) in `window_seconds` is
    disconnected. Windows are used instead of an average: a fast start must not earn the right to stall later.
    """

    head_seconds: float = 10.0
    """From the first moment of a request (or of the connection) to the end of its headers."""
    window_seconds: float = 15.0
    body_bytes: int = 16 << 10
    """What one window of a request body must bring: about 1 KiB/s."""
    body_seconds: float = 60.0
    """The whole body of a request that needs no permission: 10 MiB at 175 KB/s."""
    admitted_seconds: float = 3600.0
    """The whole body of an admitted upload: 4 GiB at 1.2 MB/s."""
    discard_seconds: float = 30.0
    """How long the rest of a refused body is read and discarded, so that the client sees the response."""
    idle_seconds: int = 30
    """How long a connection stays open between two requests."""


DEADLINES: Final = Deadlines()

MAX_HEAD_BYTES: Final = 64 << 10
"""Request line and headers. The largest legitimate ones carry a signed upload address of about 1 KB."""

MAX_CONNECTIONS: Final = 4096
"""Per process. Past this, a connection that has no request in progress is closed for the new one."""

MEMORY_BYTES: Final = 64 << 10
"""A body up to this size is kept in memory, a larger one in an unnamed file. 4096 connections: 256 MiB."""

CHUNK_BYTES: Final = 64 << 10
"""Piece of a response handed to the transport; the next piece waits until the client has taken this one."""

SPOOL_BYTES: Final = 1 << 30
"""Per process: all unnamed files of requests that needed no permission together. Past this they get a 503."""
