"""Celery tasks: those that beat schedules, and the one that stores a staged archive.

Their names are in messages of running sites, so they do not follow the module. Celery finds tasks in modules
of this name. Those that convert modules are in `tecken.symbolication.tasks`.
"""

from __future__ import annotations

import time

from celery import Task, shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from redis.exceptions import LockError

from tecken import redisclient
from tecken.download.missing import MissWriter, remove_excess, remove_old
from tecken.errors import Unavailable, is_disk_full
from tecken.jobs.records import records
from tecken.jobs.task import pause
from tecken.limits.models import roll_up_days, utc_today
from tecken.monitoring.health.measurements import take_sample, update_sizing
from tecken.redisclient.services import cache_client
from tecken.runtimeconfig import service
from tecken.services import per_process
from tecken.symbolication import fetched
from tecken.symbolication.crash_dumps import retention as dump_retention
from tecken.upload import archive_upload
from tecken.upload.models import Upload
from tecken.upload.resolved import note_recent
from tecken.upload.retention import Retention


@shared_task(name="tecken.jobs.tasks.canary", bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def canary(self: Task, queue: str) -> None:
    """Record how long this job waited in its queue, which every job there waits. Safe to run twice."""
    now = time.time()
    records().canary(queue, max(0.0, now - self.request.get("sent", now)))


@shared_task(name="tecken.jobs.tasks.clean", ignore_result=True)  # type: ignore[untyped-decorator]
def clean_records() -> None:
    """Remove records of jobs that were lost with their message. Safe to run twice."""
    records().clean()


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


@shared_task(name="tecken.upload.tasks.clean", ignore_result=True)  # type: ignore[untyped-decorator]
def clean_uploads() -> None:
    """Remove old uploads. Safe to run twice; the next run finishes an interrupted one."""
    Retention(timezone.now()).run()


@shared_task(name="tecken.symbolication.tasks.clean_fetched", ignore_result=True)  # type: ignore[untyped-decorator]
def clean_fetched() -> None:
    """Remove old symbols of upstreams. Safe to run twice; the next run finishes an interrupted one."""
    fetched.remove_old(timezone.now())


@shared_task(name="tecken.symbolication.tasks.clean_minidumps", ignore_result=True)  # type: ignore[untyped-decorator]
def clean_minidumps() -> None:
    """Remove old minidumps and their reports. Safe to run twice; the next run finishes an interrupted one."""
    dump_retention.remove_old(timezone.now())


@per_process
def miss_writer() -> MissWriter:
    """Return the writer that moves counts of missing files from redis-cache into the database."""
    return MissWriter(cache_client())


@shared_task(name="tecken.download.tasks.write_misses", ignore_result=True)  # type: ignore[untyped-decorator]
def write_misses() -> None:
    """Move counts into the database, unless another worker does. Safe to run twice."""
    try:
        written = miss_writer().write()
    except LockError:
        return
    # Before rows are removed: these uploads may have brought what the new rows are about.
    if written:
        note_recent(timezone.now())
    remove_excess()


@shared_task(name="tecken.download.tasks.clean", ignore_result=True)  # type: ignore[untyped-decorator]
def clean_missing() -> None:
    """Remove old and excess missing symbols. Safe to run twice."""
    remove_old(timezone.now())
    remove_excess()


@shared_task(name="tecken.limits.tasks.roll_up", ignore_result=True)  # type: ignore[untyped-decorator]
def roll_up() -> None:
    """Write the usage of each day to the database. Safe to run twice, also at the same time."""
    client = redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    with client:
        roll_up_days(client, utc_today())


@shared_task(name="tecken.runtimeconfig.tasks.reconcile", ignore_result=True)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Reconcile changes that were made while no watcher was running. Safe to run twice, and concurrently."""
    service.reconcile()


@shared_task(name="tecken.health.tasks.sample", ignore_result=True)  # type: ignore[untyped-decorator]
def sample() -> None:
    """Take a sample; a job that runs twice takes two."""
    take_sample()


@shared_task(name="tecken.health.tasks.size_store", ignore_result=True)  # type: ignore[untyped-decorator]
def size_store() -> None:
    """Compute how large the store must be; a job that runs twice computes it twice."""
    update_sizing()
