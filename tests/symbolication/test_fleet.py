from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.symbolication.fleet import ABSENT, XUL

PROCESSES = 4


@pytest.mark.usefixtures("clear_redis_cache")
def test_prepare_in_many_processes_converts_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.symbolication.fleet", os.environ["REDIS_URL"], str(tmp_path)]
    fleet = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    answers = [process.communicate(timeout=60)[0] for process in fleet]
    assert answers == ["8\n"] * PROCESSES
    assert sorted((tmp_path / "log").read_text().splitlines()) == sorted(map(str, [XUL, ABSENT]))
