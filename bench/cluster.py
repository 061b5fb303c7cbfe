"""Cost of a Redis Cluster for the page store: `python -m bench.cluster`.

Three primaries on this machine against one server, through our client and through redis-py's; then with one
node mute (SIGSTOP). Medians of 100 tries, in turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tecken.redisclient import client
from tecken.store.page_store import RedisPageStore
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId
from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer

CONF = Path(__file__).parents[1] / "docker" / "images" / "redis" / "redis.conf"
TRIES = 100
TIMEOUT = 0.5
PAGE = bytes(5000)


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    with suppress(redis.RedisError):
        call()
    return perf_counter() - start


def medians(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TRIES):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return {name: statistics.median(each) for name, each in taken.items()}


def main() -> None:
    with RedisServer(CONF) as server, RedisCluster(CONF) as cluster:
        one = RedisPageStore(client(server.url, timeout=TIMEOUT, connect_timeout=TIMEOUT))
        many = RedisPageStore(client(cluster.url, timeout=TIMEOUT, connect_timeout=TIMEOUT))
        theirs = redis.RedisCluster(
            "127.0.0.1",
            cluster.servers[0].port,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        for count in (40, 120, 320):
            pages = {PageKey(ObjectId.parse("xul.so", "A" * 33), "a" * 16, n): PAGE for n in range(count)}
            names = [f"key-{n}" for n in range(count)]
            one.put_pages(pages)
            many.put_pages(pages)
            theirs.mset_nonatomic(dict.fromkeys(names, PAGE))
            found = medians(
                {
                    "one server": lambda: one.pages(list(pages)),  # noqa: B023
                    "cluster": lambda: many.pages(list(pages)),  # noqa: B023
                    "redis-py's": lambda: theirs.mget_nonatomic(names),  # noqa: B023
                }
            )
            print(
                f"{count:4} pages  "
                + "  ".join(f"{name} {took * 1e3:.2f} ms" for name, took in found.items())
            )
        cluster.servers[1].pause()
        keys = list(pages)[:120]
        print(
            "one node mute, 120 pages, three times:",
            *(f"{seconds(lambda: many.pages(keys)):.3f} s" for _ in range(3)),
        )
        print(f"redis-py's: {seconds(lambda: theirs.mget_nonatomic(names[:120])):.1f} s")
        cluster.servers[1].resume()


if __name__ == "__main__":
    main()
