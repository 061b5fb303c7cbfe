"""A job as a worker's process runs it, in this one."""

from __future__ import annotations

from typing import Any

from celery.app.trace import build_tracer

from tecken.celery import app


def traced(task: Any, *arguments: object, **message: Any) -> Any:
    """What Celery tells the worker: `retval`, and `info.state` unless it succeeded. Its id is `job`."""
    headers = {"id": "job", "delivery_info": {"routing_key": "upload"}, "retries": 0, **message}
    return build_tracer(task.name, task, app=app)("job", arguments, {}, headers)
