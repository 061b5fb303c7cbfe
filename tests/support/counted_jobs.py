"""Count of jobs in a worker: `celery -A tecken worker --include tests.support.counted_jobs`.

The file that JOBS_COUNTED names gets a line for each job that succeeded: its id and its task. A line is
written whole or not at all.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from celery.signals import task_postrun

COUNTED = "JOBS_COUNTED"


@task_postrun.connect  # type: ignore[untyped-decorator]
def count(task_id: str, task: Any, state: str | None = None, **_more: object) -> None:
    if state == "SUCCESS":
        with Path(os.environ[COUNTED]).open("a") as file:
            file.write(f"{task_id} {task.name}\n")


def counted(path: Path) -> Counter[str]:
    """Return how often each job succeeded, by id."""
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()
