"""Beat as `make run` starts it, beside a web server and a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from run.stack import PROGRAMS
from tecken.jobs.keys import BEAT, WORKERS
from tests.support.sentinel import wait_until
from tests.system.site import ROOT, Site, end

pytestmark = pytest.mark.xdist_group("beat")  # all tests share a site

LATE = 60.0  # seconds, on a busy machine


class SiteWithBeat(Site):
    """Its processes count together, as those of `make run`."""

    worker = PROGRAMS["worker"]

    def __init__(self, home: Path) -> None:
        (home / "metrics").mkdir()
        (home / "empty").mkdir()
        super().__init__(home, PROMETHEUS_MULTIPROC_DIR=str(home / "metrics"), PYTHONPATH=str(ROOT))
        self.home = home
        self.beat_log = home / "beat.log"

    @contextmanager
    def beat(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run beat in an empty directory."""
        with self.beat_log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *PROGRAMS["beat"]],
                cwd=self.home / "empty",
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            end(process)

    def processes(self) -> list[dict[str, Any]]:
        reply = httpx.get(f"{self.url}/api/config/processes/", headers={"Auth-Token": self.token}, timeout=30)
        reply.raise_for_status()
        rows: list[dict[str, Any]] = reply.json()["processes"]
        return rows

    @cached_property
    def token(self) -> str:
        permission = ("--permission", "runtimeconfig.view_option", "--create-user")
        return self.manage("createtoken", "op@example.com", *permission).strip()

    def queue(self) -> redis.Redis:
        return redis.Redis.from_url(self.cache.url.removesuffix("0") + "1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteWithBeat]:
    with SiteWithBeat(tmp_path_factory.mktemp("site")) as site:
        yield site


def test_beat_of_make_run_applies_the_configuration_without_traceback(site: SiteWithBeat) -> None:
    with site.beat():
        wait_until(lambda: "beat" in {row["kind"] for row in site.processes()}, LATE, "beat has a row")
        site.manage("config", "set", "log_level", "DEBUG")
        # Lines of level DEBUG prove that the new level is in force in beat.
        wait_until(lambda: "DEBUG tecken.jobs.beat" in site.beat_log.read_text(), LATE, "beat follows")
        assert os.listdir(site.home / "empty") == []
    assert "Traceback" not in site.beat_log.read_text()


def test_beat_stopped_releases_its_lock(site: SiteWithBeat) -> None:
    with site.queue() as queue:
        with site.beat():
            wait_until(lambda: bool(queue.exists(BEAT)), LATE, "beat has its lock")
        assert not queue.exists(BEAT)


def test_worker_stopped_is_not_listed(site: SiteWithBeat) -> None:
    with site.queue() as queue:
        wait_until(lambda: queue.hlen(WORKERS) == 1, LATE, "the worker is listed")
        site.stop_worker()
        assert queue.hlen(WORKERS) == 0
