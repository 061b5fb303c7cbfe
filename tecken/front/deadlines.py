"""Limits of the front: how long it waits for a client, and how many bytes it holds for one."""

from __future__ import annotations

from typing import Final, NamedTuple


class Deadlines(NamedTuple):
    """Deadlines in seconds, and sizes in bytes. The defaults suit a phone on a slow line of about 10 KB/s.

    A client that is slower than `body_bytes` (or, when reading, one chunk of 64 KiB) in `window_seconds` is
    disconnected. Windows are used instead of an average: a fast start must not earn the right to stall later.
    """

    head_seconds: float = 10.0
    """Time from the start of a request (or of the connection) to the end of its headers."""
    window_seconds: float = 15.0
    body_bytes: int = 16 << 10
    """Bytes of a request body that must arrive in one window: about 1 KiB/s."""
    body_seconds: float = 60.0
    """Time for the whole body of a request that needs no permission: 10 MiB at 175 KB/s."""
    admitted_seconds: float = 3600.0
    """Time for the whole body of an admitted upload: 4 GiB at 1.2 MB/s."""
    discard_seconds: float = 30.0
    """Time in which the rest of a refused body is discarded, so that the client sees the response."""
    idle_seconds: int = 30
    """Time that a connection stays open between two requests."""


DEADLINES: Final = Deadlines()

MAX_HEAD_BYTES: Final = 64 << 10
"""Size of the request line and headers.

The largest legitimate ones carry a signed upload address of about 1 KB.
"""

MAX_CONNECTIONS: Final = 4096
"""Connections per process.

At the limit, a connection without a request in progress is closed for a new one.
"""

MEMORY_BYTES: Final = 64 << 10
"""A body up to this size is kept in memory, a larger one in an unnamed file. 4096 connections: 256 MiB."""

CHUNK_BYTES: Final = 64 << 10
"""Piece of a response handed to the transport; the next piece waits until the client has taken this one."""

SPOOL_BYTES: Final = 1 << 30
"""Size per process of all unnamed files of requests that need no permission. At the limit they get a 503."""
