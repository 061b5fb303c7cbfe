"""For the workers of bench.jobs: a job that writes its number down."""

from __future__ import annotations

import os
from pathlib import Path

from celery import shared_task


@shared_task(name="numbered")
def numbered(number: int) -> None:
    with (Path(os.environ["JOBS_HOME"]) / f"done-{os.getpid()}").open("a") as file:
        file.write(f"{number}\n")
