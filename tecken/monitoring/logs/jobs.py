"""A job's lines name the request that asked for it, in whichever process they are written."""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun

from tecken.monitoring.logs.about import about, current_request

HEADER = "request_id"


@setup_logging.connect  # type: ignore[untyped-decorator]
def leave_it(**_more: object) -> None:
    """Django has set logging up; Celery would add handlers with a format of its own."""


@before_task_publish.connect  # type: ignore[untyped-decorator]
def send_along(headers: dict[str, Any], **_more: object) -> None:
    """From a job too: what it asks for is asked for by the same request."""
    if one := current_request():
        headers[HEADER] = one


@task_prerun.connect  # type: ignore[untyped-decorator]
def begin(task_id: str, task: Any, **_more: object) -> None:
    one = task.request.get(HEADER)
    ids = {HEADER: one} if one else {}
    task.request.about = about(task_id=task_id, **ids)
    task.request.about.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def end(task: Any, **_more: object) -> None:
    task.request.about.__exit__(None, None, None)
