"""Time of the checks at a start: `python -m bench.startup`.

Each row is one way to reach the same two kinds of server. `look` is all that asks them, in a process of its
own each time, as at a start; `process` is the whole of it up to "→ Application starts", imports and all.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.redis_server import RedisServer
from tests.support.sentinel import SentinelPair
from tests.support.tls import TlsServer, papers

ROOT = Path(__file__).parents[1]
CACHE, STORE = (ROOT / "docker" / "images" / name / "redis.conf" for name in ("redis-cache", "redis"))
STARTS = 30
MUST = 0.5  # seconds
LOOK = """
import time
from tecken.monitoring.preflight.startup import check_start
from django.conf import settings
settings.REDIS_URL
begin = time.perf_counter()
check_start()
print(time.perf_counter() - begin)
"""


@contextmanager
def plain() -> Iterator[Mapping[str, str]]:
    with RedisServer(CACHE) as cache, RedisServer(STORE) as store:
        yield {"REDIS_URL": cache.url, "REDIS_STORE_URL": store.url}


@contextmanager
def secure() -> Iterator[Mapping[str, str]]:
    with papers() as shown, TlsServer(shown, CACHE) as cache, TlsServer(shown, STORE) as store:
        yield {
            "REDIS_URL": cache.secure_url,
            "REDIS_STORE_URL": store.secure_url,
            "REDIS_CA_FILE": str(shown.authority),
        }


@contextmanager
def behind_sentinels() -> Iterator[Mapping[str, str]]:
    with ExitStack() as stack:
        cache = stack.enter_context(SentinelPair(CACHE))
        store = stack.enter_context(SentinelPair(STORE))
        yield {"REDIS_URL": cache.url, "REDIS_STORE_URL": store.url}


def once(settings: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds of the checks and of the whole process."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tecken.settings",
        "SECRET_KEY": "bench",
        "REDIS_STARTUP_SECONDS": "0",
        **settings,
    }
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout), time.perf_counter() - begin


def row(name: str, settings: Mapping[str, str]) -> float:
    looks, processes = zip(*(once(settings) for _ in range(STARTS)), strict=True)
    print(
        f"| {name} | {statistics.median(looks) * 1000:.0f} ms | {max(looks) * 1000:.0f} ms"
        f" | {statistics.median(processes) * 1000:.0f} ms |"
    )
    return float(max(looks))


def main() -> int:
    print("| servers | look, median | look, longest | process, median |\n|---|---|---|---|")
    slowest = 0.0
    for name, ways in (("plain", plain), ("TLS", secure), ("behind sentinels", behind_sentinels)):
        with ways() as settings:
            slowest = max(slowest, row(name, settings))
    print(f"\n{STARTS} starts each; the longest look took {slowest:.3f} s of {MUST} s")
    return int(slowest > MUST)


if __name__ == "__main__":
    sys.exit(main())
