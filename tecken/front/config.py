"""uvicorn's settings for the front."""

from __future__ import annotations

from typing import Any, Final

import uvicorn

from tecken.front.deadlines import DEADLINES, Deadlines

GRACEFUL_SECONDS: Final = 30
"""How long requests in progress may still take after SIGTERM."""

HEALTH_SECONDS: Final = 30
"""A web process that has not answered its parent for so long is killed; a busy machine may take seconds."""


def server_config(app: Any, deadlines: Deadlines = DEADLINES, **more: Any) -> uvicorn.Config:
    """Return the settings for `app`, a Front or the `module:name` of one."""
    return uvicorn.Config(
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
