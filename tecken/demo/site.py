"""Additional work of a demo's web process: the database, the samples, and threads for jobs and beat.

The threads have no limits of time and memory: only a process of its own could be ended when it exceeds them.

The Celery transport is on a Redis server in memory. Queues, priorities and unacknowledged jobs are the same
as on a real server. There are no sockets to wait on, so the transport polls every POLL_SECONDS.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from io import StringIO
from pathlib import Path
from queue import Empty
from threading import Thread
from typing import Any

import redis
from celery import Celery
from celery.beat import Scheduler
from celery.worker import WorkController
from django.conf import settings
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from kombu.transport import redis as transport
from kombu.transport.virtual import Transport as PollingTransport
from kombu.utils.scheduling import FairCycle

from tecken.demo import alone
from tecken.redisclient.pools import memory_pool

logger = logging.getLogger(__name__)
CONCURRENT_JOBS = 2
WARNINGS = ("Using in-memory counters (DEMO_MODE)", "Using in-memory queue (DEMO_MODE)")


def start(app: Celery, home: Path) -> None:
    """Prepare the site and start its threads. `home` is the directory that a demo claims.

    Raises:
        SystemExit: Another process has claimed the directory.
    """
    if not alone.claim(home):
        print(f"❌ Demo mode refused: another process has {home}, and a demo is one process", file=sys.stderr)
        raise SystemExit(os.EX_CONFIG)
    call_command("migrate", verbosity=0)
    add_samples(Path(settings.BASE_DIR) / "tests" / "data" / "samples")
    _start_worker(app)


def add_samples(directory: Path) -> None:
    """Store the modules that the example of the home page needs; an installation may lack the files."""
    if directory.is_dir():
        try:
            call_command("symbols", "add", str(directory), stdout=StringIO(), stderr=StringIO())
        except CommandError as error:
            logger.warning("Cannot store the samples: %s; the home page shows no example", error)


def banner(_request: HttpRequest) -> dict[str, tuple[str, ...]]:
    """Return the warnings that every page shows."""
    return {"demo_mode": WARNINGS if settings.DEMO_MODE else ()}


def _start_worker(app: Celery) -> None:
    # Remote control is for other processes, and there are none.
    app.conf.worker_enable_remote_control = False
    worker = WorkController(
        app=app,
        pool="threads",
        concurrency=CONCURRENT_JOBS,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
    )
    # A daemon thread ends with the process, without returning the jobs that it has.
    atexit.register(worker.stop)
    Thread(target=worker.start, name="demo worker", daemon=True).start()
    Thread(target=_send_schedule, args=(app,), name="demo beat", daemon=True).start()


def _send_schedule(app: Celery) -> None:
    # Celery logs each job that it sends; several are due in a minute.
    logging.getLogger("celery.beat").setLevel(logging.WARNING)
    schedule = Scheduler(app)
    while True:
        time.sleep(max(0, schedule.tick()))


# Queue

POLL_SECONDS = 0.02


class ChannelCycle(FairCycle):
    """Round robin over the channels, with the methods of kombu's socket poller, which do nothing here."""

    _in_protected_read = False

    def add(self, channel: Any) -> None:
        """Do nothing."""

    def discard(self, channel: Any) -> None:
        """Do nothing."""

    def _on_connection_disconnect(self, connection: Any) -> None: ...


class MemoryChannel(transport.Channel):
    """Channel whose connections lead to a server in memory."""

    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:  # noqa: ARG002 - as kombu calls it
        client = self.connection.client
        return memory_pool(f"memory://{client.hostname}/{client.virtual_host}")


class MemoryTransport(transport.Transport):
    """Transport that polls its channels instead of sockets."""

    Channel = MemoryChannel
    implements = PollingTransport.implements

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self.polling_interval = POLL_SECONDS  # type: ignore[assignment]
        self.cycle = ChannelCycle(self._drain_channel, self.channels, Empty)  # type: ignore[no-untyped-call]
