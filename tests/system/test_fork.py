"""Forks and the end of a process while a watcher runs, each case in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer

# From Python 3.12 on, a fork in a process with threads gives a DeprecationWarning.
QUIET = ["-W", "ignore::DeprecationWarning"]
CASES = ["watched", "unread", "grandchildren", "held", "hail", "maintained", "late", "end"]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.mark.parametrize("watcher", ["redis", "file"])
@pytest.mark.parametrize("case", CASES)
def test_fork_every_process_follows_changes(
    server: RedisServer, tmp_path: Path, case: str, watcher: str
) -> None:
    environ = {
        **os.environ,
        "REDIS_URL": server.url,
        "RUNTIME_CONFIG_WATCHER": watcher,
        "RUNTIME_CONFIG_FILE": str(tmp_path / "config.json"),
        "RUNTIME_CONFIG_INTERVAL_SECONDS": "0.1",
    }
    program = [sys.executable, *QUIET, "-m", "tests.system.forks", case]
    ran = subprocess.run(program, env=environ, capture_output=True, text=True, timeout=120, check=False)
    errors = [line for line in ran.stderr.splitlines() if "WARNING" not in line]
    assert (ran.returncode, errors) == (0, [])
