"""Limits of the front, and the settings with which uvicorn runs it.

The limits are how long the front waits for a client, and how many bytes it holds for one.
"""

from __future__ import annotations

import os
import signal
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final, NamedTuple

import uvicorn
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler


class Deadlines(NamedTuple):
    """Deadlines in seconds, and sizes in bytes. The defaults suit a phone on a slow line of about 10 KB/s.

    A client that is slower than `body_bytes` (or, when reading, one chunk of 64 KiB) in `window_seconds` is
    disconnected. Windows are used instead of an average: a
    client that sent fast at first could then stop for as long as its average allows.
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

GRACEFUL_SECONDS: Final = 30
"""Time for requests in progress to end after SIGTERM."""

HEALTH_SECONDS: Final = 30
"""The parent kills a web process that has not answered for this long. A busy machine may take seconds."""


# uvicorn


class FrontConfig(uvicorn.Config):
    """Settings of uvicorn, with an application that is imported before the event loop runs.

    The site reads the database when it is imported, and Django does not allow that inside a running loop.
    """

    def load(self) -> None:
        """Import the application, and put a WSGI application behind a `Front`."""
        super().load()
        # It imports models, so it can be imported only after the application has set Django up.
        from tecken.front.application import Front, warm_up  # noqa: PLC0415

        if isinstance(self.loaded_app, WSGIHandler):
            from tecken.front.shortcuts.downloads import DownloadShortcut  # noqa: PLC0415 - as above
            from tecken.front.shortcuts.symbolication import SymbolicationShortcut  # noqa: PLC0415 - as above
            from tecken.symbolication.warm_up import warm_up_web_process  # noqa: PLC0415 - as above

            # Not when the application is imported: another server may import it and then fork, and a child
            # of a process that has used object storage cannot use it.
            warm_up_web_process()
            # Django's instrumentation makes traces. With it every request has to reach Django, and no made-up
            # request is sent, because it would have a trace.
            more: dict[str, Any] = {}
            if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
                more = {"shortcut": SymbolicationShortcut(), "take": DownloadShortcut().take}
                more["on_start"] = partial(warm_up, self)
            self.loaded_app = Front(self.loaded_app, settings.WEB_THREADS, **more)
        elif not isinstance(self.loaded_app, Front):
            self.loaded_app = Front(self.loaded_app, settings.WEB_THREADS)

    def get_loop_factory(self) -> Callable[[], AbstractEventLoop] | None:
        """Import the application, then return uvicorn's factory of event loops."""
        if not self.loaded:
            self.load()
        avoid_preemption()
        # uvicorn raises SIGTERM once more after its shutdown. The system's default would then end the process
        # without its finalizers; one sends the usage of the last second. Tests serve from a thread,
        # which cannot receive signals.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, exit_process)
        return super().get_loop_factory()


def exit_process(_number: int, _frame: FrameType | None) -> None:
    """End the process as Python does, with its finalizers."""
    raise SystemExit


def avoid_preemption() -> None:
    """Keep a thread that wakes up from interrupting another one of this process, where the system can.

    By default Linux gives the processor to a thread that wakes up. Here that is mostly the event loop, which
    then waits for Python's lock, so each request costs two useless switches of threads. Without them a web
    process serves a third more warm requests, and its slowest answers come sooner (`bench/front.py`).
    """
    if hasattr(os, "SCHED_BATCH"):
        # A container may forbid it; then the site is slower and works all the same.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def server_config(app: Any, deadlines: Deadlines = DEADLINES, **more: Any) -> FrontConfig:
    """Return the settings for `app`: a Front, or the `module:name` of one or of a WSGI application."""
    return FrontConfig(
        app,
        http="tecken.front.protocol:DeadlineProtocol",
        interface="asgi3",
        lifespan="on",
        ws="none",
        # The site has its own logs (monitoring.logs) and finds client addresses (accounts.addresses).
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=deadlines.idle_seconds,
        timeout_worker_healthcheck=HEALTH_SECONDS,
        **{"timeout_graceful_shutdown": GRACEFUL_SECONDS, **more},
    )
