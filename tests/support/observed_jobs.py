"""Record of configuration in a worker: `celery -A tecken worker --include tests.support.observed_jobs`."""

from __future__ import annotations

import json
from pathlib import Path

from celery import shared_task

from tests.support.observed import observed


@shared_task(name="observe", ignore_result=True)  # type: ignore[untyped-decorator]
def observe(path: str) -> None:
    """Append the configuration in force in this process to a file. A line is written whole or not at all."""
    with Path(path).open("a") as answers:
        answers.write(json.dumps(observed()) + "\n")
