from __future__ import annotations

from celery import shared_task

from tecken.runtimeconfig import service


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Safe to run twice, and while another one runs: whatever no watcher was there to see."""
    service.reconcile()
