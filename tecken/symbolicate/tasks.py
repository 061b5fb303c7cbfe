"""What a worker does for a request that waits."""

from __future__ import annotations

from celery import shared_task

from tecken import wiring
from tecken.symbols.ids import module_key


@shared_task(name=wiring.PREPARE_TASK, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def prepare(debug_file: str, debug_id: str) -> None:
    """Find and convert one module. Safe to run twice; not retried, since whoever still waits asks again."""
    wiring.worker().work(module_key(debug_file, debug_id))
