from __future__ import annotations

import time
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

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log the error, and wait before the next attempt.

        A server that answers and takes no writes is connected to at once, so Celery would try a hundred times
        a second, with a line of the log each time.
        """
        super().on_connection_error_before_connected(exc)
        time.sleep(TRY_SECONDS)
