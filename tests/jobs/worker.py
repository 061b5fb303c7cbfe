"""A Celery worker with a Redis server of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tecken.jobs.keys import HOUSEKEEPING, QUEUES
from tests.jobs.marks import DONE
from tests.support.redis_server import RedisServer
from tests.support.sentinel import wait_until

IMAGE = Path(__file__).parents[2] / "docker" / "images" / "redis-cache" / "redis.conf"
# Seconds.
LATE = 60.0


class Worker:
    """Worker with clients of its server; `raw_queue` returns bytes."""

    def __init__(self, server: RedisServer, home: Path, pool: str) -> None:
        self.server, self.log, self._home, self._pool = server, home / "log", home, pool
        self.cache, self.queue, self.config = (self._database(number) for number in range(3))
        self.raw_queue = redis.Redis.from_url(self._url(1))
        self._process: subprocess.Popen[bytes] | None = None

    def _url(self, number: int) -> str:
        return self.server.url.removesuffix("0") + str(number)

    def _database(self, number: int) -> redis.Redis:
        return redis.Redis.from_url(self._url(number), decode_responses=True)

    def start(self) -> None:
        environment = {
            **os.environ,
            "REDIS_URL": self.server.url,
            "RUNTIME_CONFIG_WATCHER": "redis",
            "DATABASE_URL": f"sqlite:///{self._home}/db",
        }
        command = [
            *(sys.executable, "-m", "celery", "-A", "tecken", "worker", "--loglevel", "info"),
            *("--pool", self._pool, "--concurrency", "2", "--without-mingle"),
            *("--include", "tests.jobs.marks,tests.jobs.quick"),
        ]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        """Kill the worker and its children with SIGKILL."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        assert self._process
        self._process.terminate()
        try:
            self._process.wait(LATE)
        except subprocess.TimeoutExpired:
            self.kill()

    @contextmanager
    def _connected(self) -> Iterator[tuple[Celery, Any]]:
        """Return a new client: a pool would keep connections that a restart of the server has cut."""
        with (
            Celery(broker=self._url(1), set_as_current=False) as app,
            app.connection_for_write() as connection,
        ):
            yield app, connection

    def send(self, task: str, *arguments: object, **options: Any) -> None:
        """Send a job to the queue `housekeeping`, unless `options` name another one."""
        with self._connected() as (app, connection):
            app.send_task(task, arguments, connection=connection, **{"queue": HOUSEKEEPING, **options})

    def done(self) -> list[str]:
        return [str(name) for name in self.cache.lrange(DONE, 0, -1)]

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: set(names) <= set(self.done()), LATE, f"{names} are done, not only {self.done()}")

    def paused(self) -> list[str]:
        """Return the queues that the worker has paused, as it replies over its control channel."""
        with self._connected() as (app, connection):
            replies = app.control.broadcast("stats", reply=True, timeout=3, limit=1, connection=connection)
        return [queue for reply in replies for stats in reply.values() for queue in stats["paused_queues"]]

    def shut(self) -> None:
        self.config.set("is-under-maintenance", "")
        wait_until(lambda: self.paused() == sorted(QUEUES), LATE, "the worker pauses")

    def open(self) -> None:
        self.config.delete("is-under-maintenance")


@contextmanager
def working(home: Path, pool: str) -> Iterator[Worker]:
    with RedisServer(IMAGE, appendfsync="always") as server:
        worker = Worker(server, home, pool)
        worker.start()
        try:
            yield worker
        finally:
            worker.end()
