"""Celery tasks that convert modules, for a request that waits and ahead of demand, and process minidumps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_process_init

from tecken.errors import Malformed, Unavailable
from tecken.http.ratelimit import charge_in_worker
from tecken.jobs.task import pause
from tecken.limits.port import Caller, Cost
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.crash_dumps import services as crash_dump_services
from tecken.symbolication.crash_dumps.submission import NO_CALLER
from tecken.symbolication.warm_up import warm_up_worker_process
from tecken.symbols.ids import TRY, ObjectId
from tecken.symbols.pagefile.file import Header

# Seconds before the first retry. Even half of it (pauses are spread) is longer than an "unreachable" marker
# lives; a retry before that would read the marker and not try.
FIRST_PAUSE = 15.0
TRIES_AGAIN = 6
# The client of a minidump polls.
DUMP_PAUSE = 4.0
DUMP_TRIES_AGAIN = 3


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


@shared_task(  # type: ignore[untyped-decorator]
    name=crash_dump_services.TASK,
    bind=True,
    acks_late=True,
    ignore_result=True,
    max_retries=DUMP_TRIES_AGAIN,
)
def process_minidump(self: Task, dump_id: str, caller: Sequence[Any] = NO_CALLER) -> None:
    """Walk a stored minidump, store its report, and charge its caller for the frames. Safe to run twice.

    The job is retried while the storage does not respond. It has an expiry, so it never becomes a dead letter
    that needs the dump, which is deleted after the last try.
    """
    processor = crash_dump_services.dump_processor()
    try:
        frames = processor.work(dump_id)
    except Unavailable as error:
        if self.request.retries >= DUMP_TRIES_AGAIN:
            processor.fail(dump_id, str(error))
            return
        processor.postpone(dump_id)
        raise self.retry(exc=error, countdown=pause(DUMP_PAUSE, self.request.retries)) from None
    except SoftTimeLimitExceeded:
        processor.fail(dump_id, "the dump takes more time than it may have", Malformed.__name__)
    except Exception as error:
        processor.fail(dump_id, f"its processing failed: {type(error).__name__}")
        raise
    else:
        if frames:
            charge_in_worker(Caller(*caller), Cost(requests=0, frames=frames))


def _convert(debug_file: str, debug_id: str, scope: str) -> Header | Missing:
    """Convert a module of regular builds, or of try builds when `scope` is TRY."""
    module = ObjectId.parse(debug_file, debug_id)
    module = module.in_try() if scope == TRY else module
    return symbolication_services.worker_of(module).work(module)
