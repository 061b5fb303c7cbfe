"""Limits hold across processes: what all of them were allowed is the limit."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import time

from tests.limits.spender import EACH, FRAMES, QUOTA
from tests.support.redis_server import RedisServer
from tests.system.site import ROOT

PROCESSES = 4
CALLS = 400  # each; together far more than both limits


def spent(url: str) -> int:
    command = [sys.executable, "-m", "tests.limits.spender", url, str(CALLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_four_processes_are_allowed_exactly_the_limit() -> None:
    """The rate would allow 514 requests, the quota 500."""
    with RedisServer() as server, ThreadPoolExecutor(PROCESSES) as pool:
        before = int(time() / 86_400)
        counts = list(pool.map(spent, [server.url] * PROCESSES))
        after = int(time() / 86_400)
    assert FRAMES.quantity // EACH.frames > QUOTA.quantity
    assert sum(counts) == QUOTA.quantity or after > before  # a test that runs over midnight meets two days
