"""Cost of reading one option, in several ways: `python -m bench.config_read [--rounds 5]`.

Each way has processes of its own, which take turns. django-constance (bench/peers.txt) is installed below
.cache the first time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench import rig

PEERS = rig.ROOT / ".cache" / "bench-peers"
REQUIREMENTS = rig.ROOT / "bench" / "peers.txt"
CONSTANCE = "from constance import config; config.SYMBOLICATE_MAX_JOBS = 10"
MEASURE = """
import statistics, sys, timeit, django
django.setup()
setup, read, count = sys.argv[1:]
print(statistics.median(timeit.repeat(read, setup, number=int(count), repeat=7)) / int(count))
"""


class Way(NamedTuple):
    what: str
    setup: str
    read: str
    times: int
    backend: str = "RedisBackend"


OURS = Way(
    "`options().symbolicate_max_jobs`",
    "from tecken.runtimeconfig.current import options; options()",
    "options().symbolicate_max_jobs",
    500_000,
)
SLOWEST = Way("django-constance, Redis back end", CONSTANCE, "config.SYMBOLICATE_MAX_JOBS", 2_000)
WAYS = (
    OURS,
    Way(
        "the same in a request, which has pinned its values",
        "from tecken.runtimeconfig.current import options, pinned; held = pinned(); held.__enter__()",
        "options().symbolicate_max_jobs",
        500_000,
    ),
    SLOWEST,
    Way(
        "django-constance, caching Redis back end",
        f"{CONSTANCE}; config.SYMBOLICATE_MAX_JOBS",
        "config.SYMBOLICATE_MAX_JOBS",
        100_000,
        "CachingRedisBackend",
    ),
    Way(
        "a Redis GET per read",
        "from tecken.redisclient.services import cache_client; "
        "client = cache_client(); client.set('jobs', 10)",
        "int(client.get('jobs'))",
        2_000,
    ),
    Way(
        "`app.config[...]`, as with Flask-WaffleConf",
        "config = type('Config', (dict,), {})(SYMBOLICATE_MAX_JOBS=10)",
        "config['SYMBOLICATE_MAX_JOBS']",
        500_000,
    ),
    Way(
        "`django.conf.settings.X`",
        "from django.conf import settings",
        "settings.SYMBOLICATE_MAX_JOBS",
        500_000,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    install(PEERS)
    with rig.redis_pair(DJANGO_SETTINGS_MODULE="bench.config_settings", PYTHONPATH=str(PEERS)) as environment:
        seen = [[seconds(way, environment) for way in WAYS] for _ in range(rounds)]
    report({way: rig.median(times) for way, times in zip(WAYS, zip(*seen, strict=True), strict=True)})


def install(folder: Path) -> None:
    if folder.exists():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "-r", REQUIREMENTS, "--target", folder], check=True)


def seconds(way: Way, environment: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", MEASURE, way.setup, way.read, str(way.times)]
    environment = {**environment, "CONSTANCE_BACKEND": way.backend}
    return float(subprocess.check_output(command, cwd=rig.ROOT, env=environment))


def report(times: Mapping[Way, float]) -> None:
    ours, slowest = times[OURS], times[SLOWEST]
    rows = [
        [way.what, f"{time * 1e6:,.3f}", f"{time / ours:,.1f}", f"{slowest / time:,.0f}"]
        for way, time in times.items()
    ]
    rig.table(["one read", "us", "times ours", "as fast as constance's Redis back end, times"], rows)


if __name__ == "__main__":
    main()
