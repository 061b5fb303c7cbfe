"""Sites whose parts can be taken away: with single Redis servers, sentinels, PostgreSQL, or S3."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.support.counted_jobs import COUNTED
from tests.support.postgres import PostgresServer
from tests.support.redis_server import free_port
from tests.support.s3_server import ACCESS, SECRET, S3Bucket
from tests.support.sentinel import SentinelPair
from tests.system.site import IMAGES, STARTS_WITHIN, Site, end

WEB_PROCESSES = 2
DEADLINE = 3.0  # seconds a request waits for a cold module


class FaultySite(Site):
    """Two web processes, and two of a worker. All that the former need is in the store or in page files."""

    web_processes = WEB_PROCESSES
    worker = (
        *("-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"),
        *("--concurrency", "2", "--include", "tests.support.counted_jobs"),
    )
    directives = MappingProxyType({"enable_debug_command": "local"})

    options: Mapping[str, object] = MappingProxyType(
        {"symbolicate_deadline_seconds": DEADLINE, "absent_seconds": 1, "unreachable_seconds": 1}
    )

    def __init__(self, home: Path, **environment: str) -> None:
        self.symbols = home / "symbols"
        self.jobs_counted = home / "jobs"
        self.symbols.mkdir()
        mine = {
            "SYMBOL_SOURCES": self.symbols.as_uri(),
            COUNTED: str(self.jobs_counted),
        }
        super().__init__(home, self.options, **(mine | environment))

    def token(self) -> str:
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        return self.manage("createtoken", "load@example.com", *permission).strip()

    def restart_web(self, **environment: str) -> None:
        self.kill_web()
        self._environment |= environment
        self.start_web()

    def kill_one_web_process(self) -> None:
        """Kill one with SIGKILL; the web server starts another one."""
        assert self._web
        children = Path(f"/proc/{self._web.pid}/task/{self._web.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)


class FollowingSite(FaultySite):
    """Site behind sentinels: each of its servers is the present master."""

    def __init__(self, home: Path) -> None:
        self.cache_pair = SentinelPair(IMAGES / "redis-cache" / "redis.conf")
        self.store_pair = SentinelPair(IMAGES / "redis" / "redis.conf")
        super().__init__(home, REDIS_URL=self.cache_pair.url, REDIS_STORE_URL=self.store_pair.url)

    def _start(self) -> None:
        self.cache_pair.start()
        self.store_pair.start()
        super()._start()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.cache_pair.close()
        self.store_pair.close()


class PostgresSite(FaultySite):
    def __init__(self, home: Path) -> None:
        self.database = PostgresServer()
        super().__init__(home, DATABASE_URL=f"{self.database.url}?connect_timeout=3")

    def _start(self) -> None:
        self.database.start()
        super()._start()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.database.close()


class S3Site(FaultySite):
    """Site with its files in a bucket and short timeouts for it."""

    options = MappingProxyType(
        {**FaultySite.options, "source_timeout_seconds": 2, "source_deadline_seconds": 4}
    )

    def __init__(self, home: Path) -> None:
        self._s3_port = free_port()
        self._s3: subprocess.Popen[bytes] | None = None
        super().__init__(
            home,
            STORAGE_URL="s3://symbols",
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_ACCESS_KEY_ID=ACCESS,
            AWS_SECRET_ACCESS_KEY=SECRET,
            AWS_REGION="us-east-1",
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._s3_port}"

    def _start(self) -> None:
        self._s3 = self._python(["-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._s3_port)])
        with httpx.Client(transport=httpx.HTTPTransport(retries=10), timeout=STARTS_WITHIN) as client:
            client.get(self.endpoint)
        S3Bucket.create(self.endpoint, "symbols")
        super()._start()

    def __exit__(self, *error: Any) -> None:
        self.signal_s3(signal.SIGCONT)
        super().__exit__(*error)
        end(self._s3)

    def signal_s3(self, number: signal.Signals) -> None:
        if self._s3 is not None:
            os.killpg(self._s3.pid, number)
