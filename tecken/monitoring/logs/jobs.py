"""Request ids in the messages of jobs, so that the log lines of a job name the request that led to it."""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun

from tecken.monitoring.logs.context import current_request_id, log_context

HEADER = "request_id"


@setup_logging.connect  # type: ignore[untyped-decorator]
def keep_logging(**_more: object) -> None:
    """Keep Django's handlers: without a receiver, Celery adds handlers with a format of its own."""


@before_task_publish.connect  # type: ignore[untyped-decorator]
def add_request_id(headers: dict[str, Any], **_more: object) -> None:
    """Add the id to a message. A job passes on the id of the request that led to it."""
    if request_id := current_request_id():
        headers[HEADER] = request_id


@task_prerun.connect  # type: ignore[untyped-decorator]
def enter_context(task_id: str, task: Any, **_more: object) -> None:
    """Begin the log context of a job."""
    request_id = task.request.get(HEADER)
    ids = {HEADER: request_id} if request_id else {}
    task.request.log_context = log_context(task_id=task_id, **ids)
    task.request.log_context.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def exit_context(task: Any, **_more: object) -> None:
    """End the log context of a job."""
    task.request.log_context.__exit__(None, None, None)
