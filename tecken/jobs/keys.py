"""Names in the queue's database (1 of redis-cache): kombu's, and ours, which begin with `jobs:`.

None of ours that must not be lost expires, for the server may evict what does.
"""

from __future__ import annotations

CONVERT, UPLOAD, HOUSEKEEPING = QUEUES = ("convert", "upload", "housekeeping")
PRIORITIES = (0, 3, 6, 9)  # 0 goes first

UNACKED = "unacked"
"""Hash of what workers have, by delivery tag: JSON of message, exchange and routing key."""
UNACKED_INDEX = "unacked_index"
"""Sorted set of the same tags, by when a worker got them."""

DEAD = "jobs:dead"
"""Hash of dead letters, by id of the job: JSON, see tecken.jobs.dead."""
STARTS = "jobs:starts"
"""Hash of how often a job was started that has not ended, by its id."""
STARTED = "jobs:started"
"""Sorted set of the same ids, by the last start."""
WORKERS = "jobs:workers"
"""Hash of workers by name: JSON, see tecken.jobs.heartbeat."""
HELD = "jobs:held"
"""Sorted set of delivery tags, by when a worker last said that it has them."""
SCHEDULED = "jobs:scheduled"
"""Sorted set of jobs that beat has sent and that have not ended, by the time they were sent."""
BEAT = "jobs:beat"
"""Lock of the beat that sends the scheduled jobs. It exists while one runs."""
CANARIES = "jobs:canaries"
"""Hash of the last canary job, by queue: `seconds it waited, time`."""


def waiting(queue: str, priority: int) -> str:
    """The list that holds `queue`'s jobs of one priority: in at the left, out at the right."""
    return f"{queue}\x06\x16{priority}" if priority else queue
