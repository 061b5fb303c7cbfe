"""Celery tasks that convert modules: for a request that waits, and ahead of demand."""

from __future__ import annotations

from celery import Task, shared_task
from celery.signals import worker_process_init

from tecken.jobs.task import pause
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.warm_up import warm_up_worker_process
from tecken.symbols.ids import TRY, ObjectId
from tecken.symbols.pagefile.file import Header

# Seconds before the first retry. Even half of it (pauses are spread) is longer than an "unreachable" marker
# lives; a retry before that would read the marker and not try.
FIRST_PAUSE = 15.0
TRIES_AGAIN = 6


@worker_process_init.connect  # type: ignore[untyped-decorator]
def warm_up(**_more: object) -> None:
    """Prepare a process of the worker for its first job."""
    warm_up_worker_process()


@shared_task(name=symbolication_services.PREPARE_TASK, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def prepare(debug_file: str, debug_id: str, scope: str = "") -> None:
    """Find and convert one module for a request that waits.

    It may run twice. It is not retried, because a request that still waits sends another job.
    """
    _convert(debug_file, debug_id, scope)


@shared_task(  # type: ignore[untyped-decorator]
    name=symbolication_services.CONVERT_TASK,
    bind=True,
    acks_late=True,
    ignore_result=True,
    max_retries=TRIES_AGAIN,
)
def convert(self: Task, debug_file: str, debug_id: str, scope: str = "") -> None:
    """Convert an uploaded module ahead of demand, with retries while a source is unavailable.

    A reason why it cannot be converted is stored as a missing marker. After the last retry the module is
    converted when a request needs it.
    """
    outcome = _convert(debug_file, debug_id, scope)
    if isinstance(outcome, Missing) and outcome.kind == "unreachable" and self.request.retries < TRIES_AGAIN:
        raise self.retry(countdown=pause(FIRST_PAUSE, self.request.retries))


def _convert(debug_file: str, debug_id: str, scope: str) -> Header | Missing:
    """Convert a module of regular builds, or of try builds when `scope` is TRY."""
    module = ObjectId.parse(debug_file, debug_id)
    module = module.in_try() if scope == TRY else module
    return symbolication_services.worker_of(module).work(module)
