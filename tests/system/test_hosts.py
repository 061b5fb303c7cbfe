"""Short version of `python -m bench.hosts`: of 15 hosts one is killed, and one is cut off from the others.

docs/reliability.md has the figures of all faults.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.load import CLIENTS
from tests.support.network import find_obstacle
from tests.system.hosts import find_missing
from tests.system.site import ROOT

FAULTS = ("web-killed", "database-cut")
# Longer than the timeouts of a connection to the database.
SECONDS = 10
LATE = 580.0  # seconds, on a busy machine

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results() -> Results:
    """Return the results by the name of the fault. The end of the program ends all hosts."""
    if missing := find_missing():
        pytest.skip(f"not installed: {missing}")
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    command = [sys.executable, "-m", "bench.hosts", "--json", "--seconds", str(SECONDS), *FAULTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LATE)
    assert done.returncode == 0, done.stderr[-4000:]
    return {result["name"]: result for result in json.loads(done.stdout)}


@pytest.mark.xdist_group("hosts")
def test_hosts_of_which_one_fails_lose_no_work_and_answer_nothing_wrong(results: Results) -> None:
    assert sorted(results) == sorted(FAULTS)
    for result in results.values():
        assert (result["wrong"], result["lost"]) == ({}, 0)
        assert result["accepted"] > 0


@pytest.mark.xdist_group("hosts")
def test_web_host_killed_fails_only_its_open_requests(results: Results) -> None:
    failed = results["web-killed"]["failed"]
    assert {kind: number for kind, number in failed.items() if number > CLIENTS[kind]} == {}


@pytest.mark.xdist_group("hosts")
def test_database_cut_off_refuses_uploads_and_fails_nothing(results: Results) -> None:
    result = results["database-cut"]
    assert {"upload", "job"} <= result["refused"].keys()
    assert result["failed"] == {}
    assert result["served"].keys() >= {"warm", "download"}
