"""Functions that test each part of the site, and the probe runner of this process.

They do real work, since a PING succeeds on a read-only replica and on a full server. The guard of a Redis
server records the outcome, so that requests need not find out that a server is down. A check is never
refused.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import NamedTuple

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from tecken import services
from tecken.errors import AccessDenied, NotFound, Unavailable
from tecken.jobs import sending
from tecken.jobs.records import Backlog, backlog
from tecken.monitoring import degraded
from tecken.monitoring.health.probes import Probe, ProbeRunner
from tecken.monitoring.preflight.inspect import why_no_writes
from tecken.monitoring.preflight.rules import Facts, fetch_facts, parse_info
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Report
from tecken.storage import services as storage_services
from tecken.storage.disk import Space
from tecken.store import services as store_services
from tecken.symbols.layouts import FileKey

logger = logging.getLogger(__name__)

# The key has the form of Django's cache, version 1.
HEARTBEAT_KEY, HEARTBEAT_EXPIRY = ":1:heartbeat", timedelta(seconds=1)
MISSING_FILE = FileKey("health", "0" * 33, "health")
# Each request costs money where storage is rented.
STORAGE_INTERVAL_SECONDS = 10.0
# One late result is normal on a busy machine, so the previous result is used for this long.
REDIS_GRACE, DATABASE_GRACE, STORAGE_GRACE = 1.0, 3.0, 5.0


class Server(NamedTuple):
    """State of a Redis server. `write_error` is the error's name or a reason; empty when writes succeed."""

    facts: Facts
    write_error: str


def redis_cache() -> Server:
    """Return the state of redis-cache."""
    with redis_services.cache_guard().observed():
        return _check_server(redis_services.cache_client())


def redis_store() -> Server:
    """Return the state of redis-store."""
    with store_services.store_guard().observed():
        return _check_server(store_services.store_client())


def _check_server(client: redis.Redis) -> Server:
    server_facts = parse_info({}) if settings.DEMO_MODE else fetch_facts(client)
    try:
        client.set(HEARTBEAT_KEY, 1, px=HEARTBEAT_EXPIRY)
    except redis.ResponseError as error:
        name = type(error).__name__
        return Server(server_facts, (why_no_writes(error) or name) if name == "ResponseError" else name)
    return Server(server_facts, "")


def queue() -> Backlog:
    """Return the backlog of all queues, and update the watch of their canaries."""
    watch = degraded.canary_watch()
    try:
        with redis_services.cache_guard().observed():
            jobs = backlog(redis_services.queue_client())
        sending.send_watch().has_failed = False
    except redis.RedisError:
        watch.postpone()
        raise
    if current.is_under_maintenance():
        watch.postpone()
    watch.update({queue.name: queue.canary_age for queue in jobs.queues})
    return jobs


def database() -> None:
    """Run a query over this thread's connection, which is kept while it works."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        # A broken connection would fail in every later run, too. The next run opens another one.
        connection.close()
        raise


def storage() -> None:
    """Look up a file that is not there.

    Raises:
        Unavailable: Storage does not work. The text of the cause, which may name a bucket, is logged only.
    """
    try:
        storage_services.own_files().stat(MISSING_FILE)
    except AccessDenied as error:
        # Missing files would still be reported as missing, but so would files that may not be read.
        logger.warning("Storage refused access: %s; grant reading and listing of the bucket", error)
        raise Unavailable("it refuses access") from error
    except NotFound:
        return
    except Unavailable as error:
        logger.warning("Storage check failed: %s", error)
        raise Unavailable("it does not answer") from error


def disk() -> tuple[Space, ...]:
    """Return the free space of each directory that this process writes to, also when it is too little."""
    return storage_services.disk_space().readings()


def processes() -> list[Report]:
    """Return the configuration version in use in each process. Raise Unavailable when it is not known."""
    return current.backend().reports()


@services.per_process
def probe_runner() -> ProbeRunner:
    """Return the probe runner of this process."""
    return ProbeRunner(
        (
            Probe("redis-cache", redis_cache, grace=REDIS_GRACE),
            Probe("redis-store", redis_store, grace=REDIS_GRACE),
            Probe("queue", queue, grace=REDIS_GRACE),
            Probe("database", database, grace=DATABASE_GRACE),
            Probe("storage", storage, STORAGE_INTERVAL_SECONDS, STORAGE_GRACE),
            Probe("disk", disk, grace=STORAGE_GRACE),
            Probe("processes", processes, grace=REDIS_GRACE),
        ),
        settings.HEALTH_CHECK_SECONDS,
    )
