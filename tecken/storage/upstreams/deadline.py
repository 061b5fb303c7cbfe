"""Deadline for a whole HTTP exchange: httpx's own timeouts start again with each byte that arrives."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

# Bytes that are read at once. With the 64 KiB of httpcore, a large body takes half as much CPU time again.
READ_BYTES = 256 * 1024


class _Ends(threading.local):
    at = math.inf

    def left(self, timeout: float | None) -> float | None:
        if self.at == math.inf:
            return timeout
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, ends: _Ends) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max(max_bytes, READ_BYTES), self._ends.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._ends.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._ends.left(timeout)), self._ends
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.NetworkBackend):
    """Network backend of httpcore whose operations end at the deadline of the calling thread."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()
        self._ends = _Ends()

    @contextmanager
    def until(self, at: float) -> Iterator[None]:
        """Set the deadline of this thread for a block, in the seconds of `time.monotonic()`."""
        before, self._ends.at = self._ends.at, at
        try:
            yield
        finally:
            self._ends.at = before

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host before the deadline."""
        left = self._ends.left(timeout)
        return _Stream(self._sockets.connect_tcp(host, port, left, local_address, socket_options), self._ends)

    def transport(self, limits: httpx.Limits, proxy: str | None) -> httpx.HTTPTransport:
        """Return a transport that uses this backend."""
        transport = httpx.HTTPTransport(limits=limits, proxy=proxy)
        # httpcore accepts a network backend, but httpx has no parameter for it.
        transport._pool._network_backend = self
        return transport
