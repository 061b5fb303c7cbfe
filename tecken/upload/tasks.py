"""Background jobs of uploads: staged archives, and the removal of old uploads."""

from __future__ import annotations

from celery import Task, shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from tecken.errors import Unavailable, is_disk_full
from tecken.jobs.task import pause
from tecken.upload import archive_upload
from tecken.upload.models import Upload
from tecken.upload.retention import Retention

# Seconds before the first retry; each later pause is twice as long.
FIRST_PAUSE = 8.0


@shared_task(name=archive_upload.TASK, bind=True, acks_late=True, ignore_result=True, max_retries=6)  # type: ignore[untyped-decorator]
def keep_upload(self: Task, number: int) -> None:
    """Store the members of a staged archive. Safe to run twice.

    The job is retried six times when storage or database do not answer, or when the disk is full.
    """
    try:
        upload = Upload.objects.filter(pk=number).first()
        if upload is not None:
            archive_upload.ingest_staged(upload)
    except (Unavailable, OperationalError, InterfaceError) as error:
        raise self.retry(exc=error, countdown=pause(FIRST_PAUSE, self.request.retries)) from None
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise self.retry(exc=error, countdown=pause(FIRST_PAUSE, self.request.retries)) from None


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def clean() -> None:
    """Remove old uploads. Safe to run twice; the next run finishes an interrupted one."""
    Retention(timezone.now()).run()
