"""Job for the workers of bench.jobs, which records its number and its times."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import shared_task


@shared_task(name="numbered")  # type: ignore[untyped-decorator]
def numbered(number: int, seconds: float) -> None:
    """Append a line when the job starts and when it ends; a kill cannot remove a line."""
    _record("started", number)
    time.sleep(seconds)
    _record("done", number)


def _record(event: str, number: int) -> None:
    with (Path(os.environ["JOBS_HOME"]) / f"{event}-{os.getpid()}").open("a") as file:
        file.write(f"{number} {time.time()}\n")
