"""The whole site as an operator runs it: two Redis servers, a web process, a worker process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.redis_server import RedisServer, free_port

IMAGES = Path(__file__).parents[2] / "docker" / "images"
STARTS_WITHIN = 30.0  # seconds
NOTHING_KEPT = {"PROCESS_HEADER_BYTES": "1", "PROCESS_PAGE_BYTES": "1", "PROCESS_FRAME_BYTES": "1"}
WEB = ["-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4"]
WORKER = ["-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error", "--concurrency", "1"]


class Site:
    """The web process keeps nothing in memory, so each request needs the store or the page files."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.cache = RedisServer(IMAGES / "redis-cache" / "redis.conf")
        self.store = RedisServer(IMAGES / "redis" / "redis.conf")
        self._port = free_port()
        self._log = (home / "log").open("wb")
        self._web: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30)
        self._environment = {
            **os.environ,
            **NOTHING_KEPT,
            "SECRET_KEY": "tests",
            "REDIS_URL": self.cache.url,
            "REDIS_STORE_URL": self.store.url,
            "STORAGE_URL": (home / "storage").as_uri(),
            "DATABASE_URL": f"sqlite:///{home}/tecken.sqlite3",
            **environment,
        }

    def __enter__(self) -> Self:
        self.cache.start()
        self.store.start()
        web = [*WEB, "--port", str(self._port), "tecken.wsgi:application"]
        self._web = self._python(web)
        self.start_worker()
        self._wait_for_web(monotonic() + STARTS_WITHIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self.stop_worker()
        _end(self._web)
        self.cache.close()
        self.store.close()
        self._log.close()

    def start_worker(self) -> None:
        self._worker = self._python(WORKER)

    def stop_worker(self) -> None:
        _end(self._worker)

    def symbolicate(self, request: Any) -> httpx.Response:
        return self._client.post("/symbolicate/v5", json=request)

    def _python(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=self._log)

    def _wait_for_web(self, deadline: float) -> None:
        waiting = httpx.HTTPTransport(retries=10)  # on refused connections, each pause twice the one before
        with httpx.Client(transport=waiting, timeout=deadline - monotonic()) as client:
            client.get(f"http://127.0.0.1:{self._port}/__lbheartbeat__").raise_for_status()


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
