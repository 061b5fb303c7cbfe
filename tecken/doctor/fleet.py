"""Checks of workers and beat, and whether all processes run the same code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import redis
from django.conf import settings

from tecken.doctor.checks import CheckFinding, failed, ok, skipped, warning
from tecken.jobs.keys import QUEUES
from tecken.jobs.records import Backlog, backlog, code_version
from tecken.monitoring.degraded import LATE_SECONDS, PERIOD_SECONDS
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current

START_WORKER = "Start a worker: `celery -A tecken worker` (docs/jobs.md)."
START_BEAT = "Start one beat for the site: `celery -A tecken beat` (docs/jobs.md)."
DEMO = "DEMO_MODE: jobs are in the memory of the web process; /health/ shows them."


def check_workers(in_site: bool) -> CheckFinding:
    """Return whether each queue has a worker, and no job has failed for good."""
    if settings.DEMO_MODE and not in_site:
        return skipped(DEMO)
    jobs = _read_backlog()
    alive = [worker for worker in jobs.workers if worker.alive]
    served = {queue for worker in alive for queue in worker.queues}
    unserved = [queue for queue in QUEUES if queue not in served]
    if current.is_under_maintenance():
        return skipped("Under maintenance workers take no jobs.")
    if not alive:
        return failed("No worker runs: modules are not converted, and uploads wait.", START_WORKER)
    if unserved:
        text = f"No worker takes jobs of {', '.join(unserved)}."
        return failed(text, START_WORKER)
    if jobs.dead:
        text = f"Jobs that have failed for good: {jobs.dead:,}."
        return warning(
            text, "Read the reasons at /jobs/ or with `manage.py jobs list`, then retry or drop them."
        )
    return ok(f"Workers that run: {len(alive)}. Together they take the jobs of all queues.")


def check_beat(in_site: bool) -> CheckFinding:
    """Return whether beat runs, and the test jobs that it sends come through each queue."""
    if settings.DEMO_MODE and not in_site:
        return skipped(DEMO)
    if current.is_under_maintenance():
        return skipped("Under maintenance workers take no jobs, so beat cannot be tested.")
    jobs = _read_backlog()
    if not jobs.beat and not settings.DEMO_MODE:
        return failed("No beat runs: clean-up, statistics and charts stand still.", START_BEAT)
    late = [
        queue.name for queue in jobs.queues if queue.canary_age is None or queue.canary_age > LATE_SECONDS
    ]
    if late:
        text = f"Beat runs, but for a minute none of its test jobs came through {', '.join(late)}."
        step = "After a start wait a minute and repeat; else look whether all workers are busy, at /jobs/."
        return failed(text, step, transient=True)
    return ok(f"Beat runs, and its test jobs come through each queue every {PERIOD_SECONDS:.0f} seconds.")


def check_versions(read_site: Callable[[], set[str]] | None) -> CheckFinding:
    """Return whether web processes, workers and this command run the same code."""
    users: defaultdict[str, set[str]] = defaultdict(set)
    users[code_version()].add("this command")
    if not settings.DEMO_MODE:
        for worker in _read_backlog().workers:
            if worker.alive:
                users[worker.version or "an older release"].add(f"worker {worker.name}")
    for version in read_site() if read_site else ():
        users[version].add("the web server")
    if len(users) == 1:
        return ok(f"All processes that report it run {code_version()}.")
    parts = "; ".join(f"{', '.join(sorted(names))}: {version}" for version, names in sorted(users.items()))
    step = "Unless an upgrade is in progress, restart the processes with the older code (docs/upgrade.md)."
    return warning(f"Processes run different code. {parts}.", step)


def _read_backlog() -> Backlog:
    try:
        return backlog(redis_services.queue_client())
    except redis.RedisError:
        # The next attempt of the same thread would find the broken connection.
        redis_services.queue_client().connection_pool.disconnect()
        raise
