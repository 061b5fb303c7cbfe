"""What a worker does for a request that waits, and ahead of those that will come."""

from __future__ import annotations

from celery import Task, shared_task

from tecken.jobs.task import pause
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import TRY, ObjectId
from tecken.symbols.pagefile.file import Header

FIRST_PAUSE = 15.0  # seconds; even half of it is longer than "unreachable" is remembered
TRIES_AGAIN = 6


@shared_task(name=symbolication_services.PREPARE_TASK, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def prepare(debug_file: str, debug_id: str, scope: str = "") -> None:
    """Find and convert one module. Safe to run twice; not retried, since a request that waits asks again."""
    _work(debug_file, debug_id, scope)


@shared_task(  # type: ignore[untyped-decorator]
    name=symbolication_services.CONVERT_TASK,
    bind=True,
    acks_late=True,
    ignore_result=True,
    max_retries=TRIES_AGAIN,
)
def convert(self: Task, debug_file: str, debug_id: str, scope: str = "") -> None:
    """The same for a module that was uploaded. Nobody waits, so it is tried again when a source was away.

    What cannot be converted is remembered with its reason; after the last try, whoever needs it asks.
    """
    answer = _work(debug_file, debug_id, scope)
    if isinstance(answer, Missing) and answer.kind == "unreachable" and self.request.retries < TRIES_AGAIN:
        raise self.retry(countdown=pause(FIRST_PAUSE, self.request.retries))


def _work(debug_file: str, debug_id: str, scope: str) -> Header | Missing:
    """`scope` is TRY for a module of try builds."""
    module = ObjectId.parse(debug_file, debug_id)
    module = module.in_try() if scope == TRY else module
    return symbolication_services.worker_of(module).work(module)
