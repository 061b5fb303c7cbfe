"""The site for tests that ask each process.

`/observed` tells what this one has in force, before any middleware; X-Process says who answered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from tecken.application import application as site
from tecken.front.application import Front
from tecken.runtimeconfig import current


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*headers, ("X-Process", str(os.getpid()))], *error)

    if environ["PATH_INFO"] == "/observed":
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(observed()).encode()]
    return site(environ, start)


front = Front(application, threads=4)


def observed() -> dict[str, Any]:
    """Return the configuration that is in force in this process."""
    jobs = current.options().symbolicate_max_jobs
    state = current.state()
    return {
        "pid": os.getpid(),
        "jobs": jobs,
        "version": state.version,
        "stamp": state.stamp,
        "age": state.age,
        "stale": state.stale,
        "bad": dict(state.bad),
        "maintenance": current.is_under_maintenance(),
    }
