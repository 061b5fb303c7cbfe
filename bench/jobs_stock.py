"""Tecken's Celery application with kombu's own Redis transport, for `bench.jobs --queue stock` and `sweep`.

kombu's visibility timeout (JOBS_VISIBILITY_TIMEOUT seconds) is then the only means that returns the jobs of a
killed worker.
"""

from __future__ import annotations

import os

from kombu.transport import TRANSPORT_ALIASES

from tecken.celery import app

__all__ = ["app"]

STOCK = "kombu.transport.redis:Transport"

TRANSPORT_ALIASES.update(redis=STOCK, rediss=STOCK)
app.steps["worker"].discard("tecken.jobs.worker:Heartbeat")
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": float(os.environ["JOBS_VISIBILITY_TIMEOUT"]),
    # kombu looks for expired messages every second, instead of every 100 seconds.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    # Instead of 10 messages at a time.
    "unacked_restore_limit": 1000,
}
