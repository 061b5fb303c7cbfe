"""Scheduled jobs of limits."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from tecken import redisclient
from tecken.limits.models import roll_up_days, utc_today


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def roll_up() -> None:
    """Write the usage of each day to the database. Safe to run twice, also at the same time."""
    client = redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    with client:
        roll_up_days(client, utc_today())
