"""WSGI applications that show what the front gives them, and how it takes their responses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse


def _start(start: Any, response: Any) -> Any:
    status = f"{response.status_code} {response.reason_phrase}"
    start(status, [*response.items()])
    return response


def echo(environ: dict[str, Any], start: Any) -> Any:
    """Return the environ's strings, and the body's size as it was read."""
    try:
        size = len(environ["wsgi.input"].read())
    except OSError as error:
        return _start(start, HttpResponse(str(error), status=413))
    shown = {name: value for name, value in environ.items() if isinstance(value, str)}
    return _start(start, HttpResponse(orjson.dumps({**shown, "body": size})))


class Large:
    """Responds with `size` bytes, in one piece or as a stream."""

    def __init__(self, size: int, *, stream: bool = False) -> None:
        self._size = size
        self._stream = stream
        self.pieces = 0
        self.closed = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        if not self._stream:
            return _start(start, HttpResponse(b"x" * self._size))
        response = StreamingHttpResponse(self._pieces(), headers={"Content-Length": str(self._size)})
        response._resource_closers.append(self.closed.set)  # type: ignore[attr-defined]
        return _start(start, response)

    def _pieces(self) -> Iterator[bytes]:
        for _ in range(self._size >> 16):
            self.pieces += 1
            yield b"x" * (1 << 16)


class Gate:
    """Each request waits until the gate is opened, and counts itself while it does."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        self.entered.release()
        assert self.opened.wait(30)
        return _start(start, HttpResponse(b"through"))
