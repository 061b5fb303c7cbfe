"""A Celery worker with a Redis server of its own."""

from __future__ import annotations

import os
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
LATE = 30.0  # seconds


class Worker:
    def __init__(self, server: RedisServer, log: Path) -> None:
        self.server, self.log = server, log
        self.cache, self.queue, self.config = (self._database(number) for number in range(3))

    def _database(self, number: int) -> redis.Redis:
        return redis.Redis.from_url(self.server.url.removesuffix("0") + str(number), decode_responses=True)

    @contextmanager
    def _connected(self) -> Iterator[tuple[Celery, Any]]:
        """A new one each time: a pool would keep those that a restart of the server has cut."""
        broker = self.server.url.removesuffix("0") + "1"
        with Celery(broker=broker, set_as_current=False) as app, app.connection_for_write() as connection:
            yield app, connection

    def send(self, task: str, *arguments: object, **options: Any) -> None:
        """To the queue `housekeeping`, unless `options` name another."""
        with self._connected() as (app, connection):
            app.send_task(task, arguments, connection=connection, **{"queue": HOUSEKEEPING, **options})

    def done(self) -> list[str]:
        return [str(name) for name in self.cache.lrange(DONE, 0, -1)]

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: set(names) <= set(self.done()), LATE, f"{names} are done, not only {self.done()}")

    def paused(self) -> list[str]:
        """As the worker says, when asked over its channel for orders."""
        with self._connected() as (app, connection):
            told = app.control.broadcast("stats", reply=True, timeout=3, limit=1, connection=connection)
        return [queue for one in told for stats in one.values() for queue in stats["paused_queues"]]

    def shut(self) -> None:
        self.config.set("is-under-maintenance", "")
        wait_until(lambda: self.paused() == sorted(QUEUES), LATE, "the worker pauses")

    def open(self) -> None:
        self.config.delete("is-under-maintenance")


@contextmanager
def working(home: Path, pool: str) -> Iterator[Worker]:
    with RedisServer(IMAGE) as server:
        environment = {
            **os.environ,
            "REDIS_URL": server.url,
            "RUNTIME_CONFIG_WATCHER": "redis",
            "DATABASE_URL": f"sqlite:///{home}/db",
        }
        command = [
            *(sys.executable, "-m", "celery", "-A", "tecken", "worker", "--loglevel", "info"),
            *("--pool", pool, "--concurrency", "2", "--include", "tests.jobs.marks", "--without-mingle"),
        ]
        log = home / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            try:
                yield Worker(server, log)
            finally:
                process.terminate()
                process.wait(LATE)
