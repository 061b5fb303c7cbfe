"""A site of four web processes allows exactly what a limit says, and counts exactly what it served."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import redis

from tests.system.fleet import PERMISSION, SMALL
from tests.system.site import Site, end

PROCESSES, THREADS, EACH = 4, 8, 50
LIMIT = 150


class FourProcesses(Site):
    web_processes = PROCESSES

    def ask(self, token: str) -> Counter[int]:
        """Send requests over new connections, which the kernel gives to any process."""
        statuses: Counter[int] = Counter()
        headers = {"Auth-Token": token, "Connection": "close"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as client:
            for _ in range(EACH):
                statuses[client.post("/symbolicate/v5", json=SMALL).status_code] += 1
        return statuses


def test_rate_limit_over_four_processes_is_exact(tmp_path: Path) -> None:
    options = {"limit_symbolicate": f"{LIMIT} requests/month per user"}
    with FourProcesses(tmp_path, options) as site:
        token = site.manage(
            "createtoken", "ada@example.com", "--permission", PERMISSION, "--create-user"
        ).strip()
        with ThreadPoolExecutor(THREADS) as pool:
            statuses = sum(pool.map(site.ask, [token] * THREADS), Counter[int]())
        assert statuses == {200: LIMIT, 429: THREADS * EACH - LIMIT}
        end(site._web)  # before the next second's sending, mostly
        with redis.Redis.from_url(site.cache.url.removesuffix("0") + "3") as counters:
            assert served(counters) == LIMIT


def served(counters: redis.Redis) -> int:
    """Return the number of all days, because a test may run over midnight."""
    return sum(int(counters.get(day) or 0) for day in counters.scan_iter(match="symbolicationcount:v5:*"))
