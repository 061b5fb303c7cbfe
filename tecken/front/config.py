"""uvicorn's settings for the front."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import uvicorn

from tecken.front.deadlines import DEADLINES, Deadlines

GRACEFUL_SECONDS: Final = 30
"""How long requests in progress may still take after SIGTERM."""

HEALTH_SECONDS: Final = 30
"""A web process that has not answered its parent for so long is killed; a busy machine may take seconds."""


class FrontConfig(uvicorn.Config):
    """uvicorn's settings, with an application that is imported before the event loop runs.

    Django refuses the database to code inside of a running loop, and the site reads it when it is imported.
    """

    def get_loop_factory(self) -> Callable[[], AbstractEventLoop] | None:
        if not self.loaded:
            self.load()
        avoid_preemption()
        return super().get_loop_factory()


def avoid_preemption() -> None:
    """Let no thread of this process interrupt another one when it wakes up, where the system can do so.

    By default Linux gives the processor to a thread that wakes up. Here that is mostly the event loop, which
    then waits for Python's lock, so each request costs two useless switches of threads. Without them a web
    process serves a third more warm requests, and its slowest answers come sooner (`bench/front.py`).
    """
    if hasattr(os, "SCHED_BATCH"):
        # A container may forbid it; then the site is slower and works all the same.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def server_config(app: Any, deadlines: Deadlines = DEADLINES, **more: Any) -> FrontConfig:
    """Return the settings for `app`, a Front or the `module:name` of one."""
    return FrontConfig(
        app,
        http="tecken.front.protocol:DeadlineProtocol",
        interface="asgi3",
        lifespan="off",
        ws="none",
        # The site itself writes logs and finds the client's address (monitoring.logs, tokens.address).
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=deadlines.idle_seconds,
        timeout_worker_healthcheck=HEALTH_SECONDS,
        **{"timeout_graceful_shutdown": GRACEFUL_SECONDS, **more},
    )
