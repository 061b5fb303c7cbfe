"""Celery task of the runtime configuration."""

from __future__ import annotations

from celery import shared_task

from tecken.runtimeconfig import service


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Reconcile changes that were made while no watcher was running. Safe to run twice, and concurrently."""
    service.reconcile()
