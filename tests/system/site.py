"""The whole site as an operator runs it: two Redis servers, a web process, a worker process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.support.site_account import cache_server, store_server

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docker" / "images"
_scratch = tempfile.TemporaryDirectory(prefix="tecken-")
MIGRATED = Path(_scratch.name) / "migrated.sqlite3"  # of this process, which removes it at its end
STARTS_WITHIN = 60.0  # seconds, on a busy machine
NOTHING_KEPT = {"process_header_bytes": 1, "process_page_bytes": 1, "process_frame_bytes": 1}


class Site:
    """The web process keeps nothing in memory, so each request needs the store or the page files.

    `options` are in force from the start.
    """

    web: tuple[str, ...] = ("-m", "tecken.front")
    web_processes = 1
    worker: tuple[str, ...] = (
        *("-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"),
        *("--concurrency", "1"),
    )
    directives: Mapping[str, str] = {}  # of both servers
    code = ROOT

    def __init__(self, home: Path, options: Mapping[str, object] | None = None, **environment: str) -> None:
        self.cache = cache_server(**self.directives)
        self.store = store_server(**self.directives)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = (home / "log").open("wb")
        self._web: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=30)
        self._options = {**NOTHING_KEPT, **(options or {})}
        self._environment = {
            **os.environ,
            "SECRET_KEY": "Only for tests: 0aZ1bY2cX3dW4eV5fU6gT7hS8iR9jQkPlOmNnMoL",
            "REDIS_URL": self.cache.site_url,
            "REDIS_STORE_URL": self.store.site_url,
            "STORAGE_URL": (home / "storage").as_uri(),
            "DATABASE_URL": f"sqlite:///{home}/tecken.sqlite3",
            "WEB_PORT": str(self._port),
            "WEB_PROCESSES": str(self.web_processes),
            **environment,
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self.stop_worker()
        self.stop_web()
        denied = [] if error else [*self.cache.denied(), *self.store.denied()]
        self.cache.close()
        self.store.close()
        self._log.close()
        assert denied == [], "commands that are not checked at the start"

    def _start(self) -> None:
        self.cache.start()
        self.store.start()
        self._create_tables()
        self.manage("config", "set", *(str(each) for pair in self._options.items() for each in pair))
        self.start_worker()
        self.start_web()

    def _create_tables(self) -> None:
        """Migrate, or copy a database that was migrated before: a process of Django costs seconds."""
        path = self._environment["DATABASE_URL"].removeprefix("sqlite:///")
        if MIGRATED.exists() and path.startswith("/"):
            shutil.copy(MIGRATED, path)
            return
        self.manage("migrate", "--verbosity", "0")
        if path.startswith("/"):
            shutil.copy(path, MIGRATED)

    def start_web(self) -> None:
        self._web = self._python([*self.web])
        wait_until(self._web_answers, STARTS_WITHIN, "the web server answers")

    def stop_web(self) -> None:
        end(self._web)

    def kill_web(self) -> None:
        """kill -9, of its children too."""
        _kill(self._web)

    def start_worker(self) -> None:
        self._worker = self._python([*self.worker])

    def kill_worker(self) -> None:
        """kill -9, of its children too."""
        _kill(self._worker)

    def stop_worker(self) -> None:
        end(self._worker)

    def manage(self, *arguments: str) -> str:
        """Run a command and return its output. Fail with its error output if its exit status is not 0."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=self.code, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def symbolicate(self, request: Any) -> httpx.Response:
        return self._client.post("/symbolicate/v5", json=request)

    def _python(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments]
        return subprocess.Popen(
            command,
            cwd=self.code,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _web_answers(self) -> bool:
        """A server that is starting refuses connections, and may also reset or hold those it has accepted."""
        try:
            return httpx.get(f"{self.url}/__lbheartbeat__", timeout=5).is_success
        except httpx.TransportError:
            return False


def end(process: subprocess.Popen[Any] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            _kill(process)


def _kill(process: subprocess.Popen[Any] | None) -> None:
    assert process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
