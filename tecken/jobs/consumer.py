from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker import consumer

TRY_SECONDS = 1.0


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Tries each second to reach a queue that went away.

    Celery would do so after 2, 4, 6 and in the end every 30 seconds, which makes a short absence a long one
    for whoever waits for a job.
    """

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=TRY_SECONDS, interval_step=0, interval_max=TRY_SECONDS
        )
        return super().ensure_connected(conn)
