"""Names of the job queues, and keys of their database (1 of redis-cache).

Keys are kombu's, and ours, which begin with `jobs:`.

The settings route jobs to the queues, so that nothing of Django is imported here. No key of ours that must
not be lost has an expiry, since the server may evict a key that has one.
"""

from __future__ import annotations

CONVERT, UPLOAD, HOUSEKEEPING = QUEUES = ("convert", "upload", "housekeeping")

# Workers take jobs of priority 0 first.
PRIORITIES = (0, 3, 6, 9)

UNACKED = "unacked"
"""Hash of the jobs that workers have, by delivery tag: JSON of message, exchange and routing key."""
UNACKED_INDEX = "unacked_index"
"""Sorted set of the same tags, by the time a worker took them."""

DEAD = "jobs:dead"
"""Hash of dead letters, by id of the job: JSON of tecken.jobs.records.DeadLetter."""
STARTS = "jobs:starts"
"""Hash of how often a job that has not ended was started, by its id."""
STARTED = "jobs:started"
"""Sorted set of the same ids, by the last start."""
WORKERS = "jobs:workers"
"""Hash of workers by name: JSON of their last heartbeat."""
HELD = "jobs:held"
"""Sorted set of delivery tags, by the last heartbeat that contained them."""
SCHEDULED = "jobs:scheduled"
"""Sorted set of jobs that beat has sent and that have not ended, by the time they were sent."""
BEAT = "jobs:beat"
"""Lock of the beat that sends the scheduled jobs. It exists while one runs."""
CANARIES = "jobs:canaries"
"""Hash of the last canary job, by queue: `seconds it waited, time`."""


def waiting(queue: str, priority: int) -> str:
    """Return the list of a queue's jobs of one priority: pushed on the left, taken from the right."""
    return f"{queue}\x06\x16{priority}" if priority else queue
