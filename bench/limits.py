"""Cost of limits: a decision compared with throttled-py, and a request with and without them.

Ways take turns. throttled-py (bench/peers.txt) is installed below a temporary directory. Needs wrk, which
runs on the other cores.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from bench import rig
from bench.throughput import Rate, measured, wrk_script
from tecken.errors import RateLimited
from tecken.limits.limiter import RedisLimiter
from tecken.limits.port import Caller, Cost, Limit
from tecken.redisclient.guard import RedisGuard
from tests.support.redis_server import RedisServer

REQUIREMENTS = rig.ROOT / "bench" / "peers.txt"
PROCESSES = 4
HUGE = 10**12
CALLER = Caller("", 7, "3")
ALL = [
    Limit("symbolicate", HUGE, "requests", "minute", "token"),
    Limit("symbolicate", HUGE, "frames", "minute", "token"),
    Limit("symbolicate", HUGE, "requests", "day", "token"),
    Limit("symbolicate", HUGE, "frames", "day", "token"),
    Limit("symbolicate", HUGE, "requests", "month", "user"),
    Limit("symbolicate", HUGE, "frames", "month", "user"),
]
BY_ADDRESS = f"{HUGE} requests/minute per address, {HUGE} frames/minute per address"
BY_TOKEN = ", ".join(map(str, ALL))
HOT = Limit("symbolicate", 1000, "requests", "hour", "token")

Decide = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=6, help="of wrk, each time")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        install(folder)
        sys.path.insert(0, folder)
        decisions(options.calls, options.rounds)
        hot_key(folder)
    requests(options.seconds, options.rounds)


def install(folder: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "-r", REQUIREMENTS, "--target", folder], check=True)


def decisions(calls: int, rounds: int) -> None:
    with RedisServer(rig.IMAGES / "redis-cache" / "redis.conf") as server:
        ways = ways_of(server.url)
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, decide in ways.items():
                seen[name].append(timed(decide, calls))
    rows = [
        [name, *(f"{1e6 * rig.median(column):.0f}" for column in zip(*pairs, strict=True))]
        for name, pairs in seen.items()
    ]
    rig.table(["decision", "p50 µs", "p99 µs"], rows)


def ways_of(url: str) -> dict[str, Decide]:
    client = redis.Redis.from_url(url)
    limiter = RedisLimiter(client, RedisGuard("redis-cache"))
    theirs = [throttled(url, f"{number}") for number in range(len(ALL))]
    return {
        "PING": client.ping,
        "ours, one rate": lambda: limiter.charge(CALLER, Cost(), ALL[:1]),
        "throttled-py GCRA, one rate": theirs[0],
        "ours, two rates and four quotas": lambda: limiter.charge(CALLER, Cost(frames=40), ALL),
        "throttled-py GCRA, six rates": lambda: [decide() for decide in theirs],
    }


def throttled(url: str, key: str, quantity: int = 10**9) -> Callable[[], Any]:
    """Measure a decision of throttled-py, with a key that expires like ours."""
    from throttled import RateLimiterType, RedisStore, Throttled, per_hour  # noqa: PLC0415 - just installed

    one = Throttled(
        key=key,
        using=RateLimiterType.GCRA.value,
        quota=per_hour(quantity, burst=quantity),
        store=RedisStore(server=url),
    )
    limit: Callable[[], Any] = one.limit
    return limit


def timed(decide: Decide, calls: int) -> tuple[float, float]:
    decide()
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        decide()
        seconds.append(time.perf_counter() - start)
    return rig.median(seconds), rig.quantile(seconds, 0.99)


def hot_key(folder: str) -> None:
    """Run processes that all spend from one limit of 1,000 an hour."""
    rows = []
    for name in ("ours", "throttled-py"):
        with RedisServer() as server, ThreadPoolExecutor(PROCESSES) as pool:
            told = list(pool.map(lambda _number: spender(name, server.url, folder), range(PROCESSES)))  # noqa: B023
        allowed, per_second = (sum(column) for column in zip(*told, strict=True))
        rows.append([name, PROCESSES, f"{per_second:,.0f}", f"{allowed:,.0f}", f"{HOT.quantity:,}"])
    rig.table(["one hot key", "processes", "decisions/s", "allowed", "the limit"], rows)


def spender(name: str, url: str, folder: str) -> tuple[float, float]:
    code = (
        f"import sys; sys.path.append({folder!r}); from bench import limits; limits.spend({name!r}, {url!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=rig.ROOT, capture_output=True, text=True, check=True
    )
    allowed, per_second = map(float, done.stdout.split())
    return allowed, per_second


def spend(name: str, url: str, calls: int = 4000) -> None:
    """Print in a process of its own the number of allowed requests, and the decisions per second."""
    limiter = RedisLimiter(redis.Redis.from_url(url), RedisGuard("redis-cache"))
    theirs = throttled(url, "hot", HOT.quantity) if name == "throttled-py" else None
    allowed, start = 0, time.perf_counter()
    for _ in range(calls):
        if theirs is not None:
            allowed += not theirs().limited
            continue
        with suppress(RateLimited):
            limiter.charge(CALLER, Cost(), [HOT])
            allowed += 1
    print(allowed, calls / (time.perf_counter() - start))


def requests(seconds: int, rounds: int) -> None:
    """40 frames of the largest module, warm, one worker process on one core."""
    module, chance = rig.modules()[0], random.Random(1)
    functions = module.functions()
    bodies = [rig.request(module.key, rig.frames(functions, 40, chance)) for _ in range(20)]
    with rig.redis_pair() as environment, TemporaryDirectory() as folder:
        rig.configure(environment, limit_symbolicate="")
        key = token(environment)
        rig.enter(environment)
        rig.convert(module)
        plain = wrk_script(bodies, Path(folder))
        shown = Path(folder) / "shown.lua"
        token_header = f'{{["Auth-Token"] = "{key}", ["Content-Type"]'
        shown.write_text(plain.read_text().replace('{["Content-Type"]', token_header))
        ways = {
            "no limit": ("", plain),
            "two rates of an address": (BY_ADDRESS, plain),
            "a token shown, no limit": ("", shown),
            "two rates and four quotas of a token and its user": (BY_TOKEN, shown),
        }
        rates: dict[str, list[Rate]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (text, script) in ways.items():
                rates[name].append(measured(serving(environment, text), script, seconds))
    report(rates)


def token(environment: Mapping[str, str]) -> str:
    permission = ("--permission", "tokens.manage_tokens", "--create-user")
    command = [sys.executable, "manage.py", "createtoken", "bench@example.com", *permission]
    return subprocess.check_output(command, cwd=rig.ROOT, env=environment, text=True).strip()


def serving(environment: Mapping[str, str], text: str) -> Callable[[], AbstractContextManager[int]]:
    @contextmanager
    def limited() -> Iterator[int]:
        rig.configure(environment, limit_symbolicate=text)
        with rig.web(environment) as (port, _):
            yield port

    return limited


def report(rates: Mapping[str, list[Rate]]) -> None:
    medians = {name: Rate(*map(rig.median, zip(*seen, strict=True))) for name, seen in rates.items()}
    first = next(iter(medians.values()))
    rows = [
        [
            name,
            f"{rate.per_second:,.0f}",
            f"{1e6 / rate.per_second - 1e6 / first.per_second:+.0f}",
            f"{rate.p50:.2f}",
            f"{rate.p99:.2f}",
        ]
        for name, rate in medians.items()
    ]
    rig.table(["limits", "requests/s", "CPU µs per request", "p50 ms", "p99 ms"], rows)


if __name__ == "__main__":
    main()
