"""uvicorn's settings for the front."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
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
        return super().get_loop_factory()


def server_config(app: Any, deadlines: Deadlines = DEADLINES, **more: Any) -> FrontConfig:
    """Return the settings for `app`, a Front or the `module:name` of one."""
    return FrontConfig(
        app,
        http="tecken.front.protocol:DeadlineProtocol",
        interface="asgi3",
        lifespan="off",
        ws="none",
        # Logs and the client's address are the site's own affair (tecken.logs, tecken.tokens.address).
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=deadlines.idle_seconds,
        timeout_worker_healthcheck=HEALTH_SECONDS,
        **{"timeout_graceful_shutdown": GRACEFUL_SECONDS, **more},
    )
