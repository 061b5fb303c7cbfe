"""Probes of the parts of a site, run side by side within one deadline, and the functions that test each part.

Each probe has a thread of its own and is never run twice at a time. A probe that hangs therefore occupies its
own thread only, and no other probe waits for it. The thread lives on between runs, since Django's database
connections belong to a thread.

The threads are daemons. Those of a `ThreadPoolExecutor` are joined when the interpreter ends, so that a probe
which hangs, for example on a file system that does not respond, would keep the process from ending.

The functions do real work, since a PING succeeds on a read-only replica and on a full server. The guard of a
Redis server records the outcome, so that requests need not find out that a server is down. A check is never
refused.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.db import DatabaseError, connection, connections

from tecken import services
from tecken.errors import AccessDenied, NotFound, TeckenError, Unavailable
from tecken.jobs import sending
from tecken.jobs.records import Backlog, backlog
from tecken.monitoring import degraded
from tecken.monitoring.preflight.inspect import why_no_writes
from tecken.monitoring.preflight.rules import Facts, fetch_facts, parse_info
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Report
from tecken.storage import services as storage_services
from tecken.storage.disk import Space
from tecken.store import services as store_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file

logger = logging.getLogger(__name__)
FRESH_SECONDS = 1.0
"""Age up to which results are used without running the probes."""
USABLE_SECONDS = 2.0
"""Age up to which results are used while another thread runs the probes."""
LATE = "does not answer in time"

Clock = Callable[[], float]


class Probe(NamedTuple):
    """Test of one part of the site.

    `run` returns the value of a part that works, and raises any exception for one that does not. A part that
    works is tested every `every` seconds; one that does not, at each refresh. While a run is late, the result
    before it stands in for `grace` seconds more.
    """

    name: str
    run: Callable[[], Any]
    every: float = FRESH_SECONDS
    grace: float = 0.0


class ProbeResult(NamedTuple):
    """Outcome of one run. `why` is the reason of a failure, without secrets; `at` is when the run began."""

    value: Any
    why: str
    at: float

    @property
    def is_well(self) -> bool:
        """Return whether the part works."""
        return not self.why


NO_RESULT = ProbeResult(None, LATE, float("-inf"))
Requests = SimpleQueue[Future[ProbeResult] | None]


class _ProbeThread:
    """Thread of one probe, its run in progress and its latest result. The thread ends with this object."""

    def __init__(self, probe: Probe, clock: Clock) -> None:
        self._probe, self._clock = probe, clock
        self._latest = NO_RESULT
        self._running: Future[ProbeResult] | None = None
        self._requests: Requests = SimpleQueue()
        weakref.finalize(self, self._requests.put, None)
        # The thread has no reference to this object, which could otherwise never be collected.
        arguments = (probe.run, self._requests, clock)
        threading.Thread(target=_serve, args=arguments, name=f"health: {probe.name}", daemon=True).start()

    def start(self) -> Iterator[Future[ProbeResult]]:
        """Start a run unless one is in progress or the latest result suffices; yield the run in progress."""
        self._collect()
        if self._running is None and not (self._latest.is_well and self._is_younger(self._probe.every)):
            self._running = Future()
            self._requests.put(self._running)
        if self._running:
            yield self._running

    def result(self) -> ProbeResult:
        """Return the latest result, or the stand-in for a run that is late."""
        self._collect()
        if self._running is None or self._is_younger(self._probe.every + self._probe.grace):
            return self._latest
        return ProbeResult(None, LATE, self._clock())

    def _collect(self) -> None:
        if self._running and self._running.done():
            self._latest, self._running = self._running.result(), None

    def _is_younger(self, seconds: float) -> bool:
        return self._clock() - self._latest.at < seconds


class ProbeRunner:
    """Probes of a process and their latest results. `deadline` is in seconds."""

    def __init__(self, probes: Sequence[Probe], deadline: float, clock: Clock = time.monotonic) -> None:
        self._deadline, self._clock = deadline, clock
        self._threads = {probe.name: _ProbeThread(probe, clock) for probe in probes}
        self._results: Mapping[str, ProbeResult] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = threading.Lock()

    def results(self) -> Mapping[str, ProbeResult]:
        """Return the results of all probes by name, within the deadline; nothing is raised.

        One thread at a time runs the probes. The others use the previous results while these are usable, and
        wait otherwise: however many requests there are, each server is probed once a second.
        """
        if self._age() >= FRESH_SECONDS and self._refreshing.acquire(blocking=self._age() >= USABLE_SECONDS):
            try:
                # Another thread may have run them while this one waited for the lock.
                if self._age() >= FRESH_SECONDS:
                    self._refresh()
            finally:
                self._refreshing.release()
        return self._results

    def _refresh(self) -> None:
        # This returns at the deadline, even if a run has not ended; `result` has a stand-in for it then.
        wait([run for thread in self._threads.values() for run in thread.start()], self._deadline)
        self._results = {name: thread.result() for name, thread in self._threads.items()}
        self._refreshed_at = self._clock()

    def _age(self) -> float:
        return self._clock() - self._refreshed_at


def _serve(run: Callable[[], Any], requests: Requests, clock: Clock) -> None:
    while (request := requests.get()) is not None:
        request.set_result(_run(run, clock()))
        # The request would otherwise keep the result until the next one arrives.
        del request
    connections.close_all()


def _run(run: Callable[[], Any], at: float) -> ProbeResult:
    try:
        return ProbeResult(run(), "", at)
    except TeckenError as error:
        return ProbeResult(None, str(error), at)
    except Exception as error:  # noqa: BLE001 - any failure means that the part does not work
        # Only the name: the text may quote a command, and with it a password.
        return ProbeResult(None, type(error).__name__, at)


# Checks

# The key has the form of Django's cache, version 1.
HEARTBEAT_KEY, HEARTBEAT_EXPIRY = ":1:heartbeat", timedelta(seconds=1)
# A symbol file: a native one would be looked for in two places.
MISSING_FILE = symbol_file(ObjectId("health", "0" * 33))
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
