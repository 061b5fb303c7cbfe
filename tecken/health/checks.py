"""What is asked of each part: real work, since a PING succeeds on a read-only replica and on a full server.

What a part says while it is well is the check's value; a breaker of ours hears how it went, so that requests
need not find out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from tecken import wiring
from tecken.breaker import Breaker
from tecken.errors import Absent, CouldNotAsk, Refused
from tecken.health.looks import Check, Looks
from tecken.jobs.backlog import Backlog, backlog
from tecken.runtimeconfig import current
from tecken.runtimeconfig.shelf import Report
from tecken.servers.facts import Facts, facts, read
from tecken.servers.look import why_no_writes
from tecken.storage.disk_space import Space
from tecken.symbols.layouts import FileKey

logger = logging.getLogger(__name__)
WRITTEN, WRITTEN_FOR = ":1:heartbeat", timedelta(seconds=1)  # named as Django's cache does
NOT_THERE = FileKey("health", "0" * 33, "health")
STORAGE_EVERY = 10.0  # seconds: each time costs money where storage is rented
REDIS_STANDS, DATABASE_STANDS, STORAGE_STANDS = 1.0, 3.0, 5.0  # seconds: one late answer says little


class Server(NamedTuple):
    """A Redis server as it was just now; `refuses` is why it takes no writes: an error's name or a reason."""

    facts: Facts
    refuses: str


def redis_cache() -> Server:
    return _server(wiring.cache_client())


def redis_store() -> Server:
    with _heard(wiring.store_breaker()):
        return _server(wiring.store_client())


def _server(client: redis.Redis) -> Server:
    told = read({}) if settings.DEMO_MODE else facts(client)
    try:
        client.set(WRITTEN, 1, px=WRITTEN_FOR)
    except redis.ResponseError as error:
        name = type(error).__name__
        return Server(told, (why_no_writes(error) or name) if name == "ResponseError" else name)
    return Server(told, "")


def queue() -> Backlog:
    watch = wiring.canary_watch()
    try:
        with _heard(wiring.queue_breaker()):
            now = backlog(wiring.queue_client())
    except redis.RedisError:
        watch.excuse()
        raise
    if current.is_under_maintenance():
        watch.excuse()
    watch.judge({queue.name: queue.canary_age for queue in now.queues})
    return now


@contextmanager
def _heard(breaker: Breaker) -> Iterator[None]:
    """A server that answers with an error has answered: it cost no time."""
    try:
        yield
    except redis.ResponseError:
        breaker.answered()
        raise
    except redis.RedisError:
        breaker.failed()
        raise
    breaker.answered()


def database() -> None:
    """Over this thread's connection, which is kept while it works."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        raise


def storage() -> None:
    """Raises CouldNotAsk, without what everybody need not know: its text may name a bucket or a directory."""
    try:
        wiring.own_files().stat(NOT_THERE)
    except Refused as error:
        # Misses are answered all the same, but nothing tells them from files that we may not read.
        logger.warning("storage: %s; grant reading and listing of the bucket", error)
        raise CouldNotAsk("it refuses access") from error
    except Absent:
        return
    except CouldNotAsk as error:
        logger.warning("storage: %s", error)
        raise CouldNotAsk("it does not answer") from error


def disk() -> tuple[Space, ...]:
    """Return the free space of each directory that this process writes to, also when it is too little."""
    return wiring.disk_space().readings()


def processes() -> list[Report]:
    """What each has in force. Raises CouldNotAsk."""
    return current.shelf().reports()


@wiring.once
def looks() -> Looks:
    """Of this process."""
    return Looks(
        (
            Check("redis-cache", redis_cache, stands=REDIS_STANDS),
            Check("redis-store", redis_store, stands=REDIS_STANDS),
            Check("queue", queue, stands=REDIS_STANDS),
            Check("database", database, stands=DATABASE_STANDS),
            Check("storage", storage, STORAGE_EVERY, STORAGE_STANDS),
            Check("disk", disk, stands=STORAGE_STANDS),
            Check("processes", processes, stands=REDIS_STANDS),
        ),
        settings.HEALTH_CHECK_SECONDS,
    )
