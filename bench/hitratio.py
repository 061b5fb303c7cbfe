"""Hit ratio of a small store: pages against whole modules, both in allkeys-lru Redis with the same memory.

The load: modules, and functions within a module, are Zipf-distributed; each request has a stack of 40 frames
in four modules. Process caches are off: every page is asked of the store, and what it lacks is read from the
page file. A store of whole modules gets the same requests and keeps each module's pages under one key.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import redis

from bench import rig
from tests.support.redis_server import RedisServer

Stack = list[tuple[rig.Key, int]]
MODULES_PER_STACK = 4
CALL_SITES = 3  # places of a function that turn up in stacks


class Score(NamedTuple):
    hits: int
    asked: int
    read: int  # bytes from storage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="half of them warm up and are not counted")
    parser.add_argument("--modules", type=int, default=60)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument(
        "--shares", type=int, nargs="+", default=[5, 10, 20], help="maxmemory in %% of all pages"
    )
    parser.add_argument("--zipf", type=float, default=1.0)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment,
    ):
        rig.configure(environment, process_page_bytes=1, process_frame_bytes=1)
        rig.enter(environment)
        fleet = rig.fleet(options.modules, Path(folder))
        sizes = {member.key: member.size for member in fleet}
        stacks = list(islice(load(fleet, options.frames, options.zipf), options.requests))
        rows, counted = [], len(stacks) - len(stacks) // 2
        for share in options.shares:
            memory = sum(sizes.values()) * share // 100
            first = [f"{share} %", f"{memory / 1e6:.0f}"]
            rows += [[*first, "pages", *columns(pages(stacks, memory), counted)]]
            rows += [[*first, "whole modules", *columns(whole_modules(stacks, sizes, memory), counted)]]
    rig.table(["maxmemory", "MB", "entries", "hit ratio", "read from storage per request"], rows)


def load(fleet: Sequence[rig.Member], frames: int, zipf: float) -> Iterator[Stack]:
    chance = random.Random(1)
    modules = chance.sample(fleet, len(fleet))
    functions = {module.key: chance.sample(module.functions, len(module.functions)) for module in modules}
    weights = {count: zipf_weights(count, zipf) for count in {len(modules), *map(len, functions.values())}}
    while True:
        some = chance.choices(modules, cum_weights=weights[len(modules)], k=MODULES_PER_STACK)
        stack = []
        for number in range(frames):
            known = functions[some[number * MODULES_PER_STACK // frames].key]
            start, size = chance.choices(known, cum_weights=weights[len(known)])[0]
            at = start + chance.randrange(CALL_SITES) * size // CALL_SITES
            stack.append((some[number * MODULES_PER_STACK // frames].key, at))
        yield stack


def zipf_weights(count: int, exponent: float) -> list[float]:
    """Cumulative."""
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))


def pages(stacks: Sequence[Stack], memory: int) -> Score:
    from tecken.store import services as store_services  # noqa: PLC0415

    client = store_services.store_client()
    client.flushdb()
    client.config_set("maxmemory", memory)
    for stack in stacks[: len(stacks) // 2]:
        symbolicated(stack)
    return added(map(symbolicated, stacks[len(stacks) // 2 :]))


def symbolicated(stack: Stack) -> Score:
    """Symbolicate the request in the way of the service."""
    from tecken.symbolication.api.answer import V5  # noqa: PLC0415
    from tecken.symbolication.api.schema import v5_jobs  # noqa: PLC0415
    from tecken.symbolication.api.views import limits, parts  # noqa: PLC0415
    from tecken.symbolication.service import resolve  # noqa: PLC0415
    from tecken.symbolication.trace import Trace  # noqa: PLC0415

    trace = Trace()
    resolve(parts(), V5(), v5_jobs(rig.request_of(stack), limits()), trace)
    tiers = trace.pages
    read = sum(download.size for download in trace.downloads.values())
    return Score(tiers.store, tiers.store + tiers.page_file, read)


def whole_modules(stacks: Sequence[Stack], sizes: Mapping[rig.Key, int], memory: int) -> Score:
    with RedisServer(rig.IMAGES / "redis" / "redis.conf", maxmemory=str(memory)) as server:
        client = redis.Redis.from_url(server.url)

        def request(stack: Stack) -> Score:
            return added(asked(client, module, sizes[module]) for module in {module for module, _ in stack})

        for stack in stacks[: len(stacks) // 2]:
            request(stack)
        return added(map(request, stacks[len(stacks) // 2 :]))


def asked(client: redis.Redis, module: rig.Key, size: int) -> Score:
    """Asking for one byte uses an entry as much as reading it. A module that does not fit is not kept."""
    name = "/".join(module)
    if client.getrange(name, 0, 0):
        return Score(1, 1, 0)
    with suppress(redis.OutOfMemoryError):
        client.set(name, bytes(size))
    return Score(0, 1, size)


def added(scores: Iterator[Score]) -> Score:
    return Score(*map(sum, zip(*scores, strict=True)))


def columns(score: Score, requests: int) -> list[str]:
    return [f"{score.hits / score.asked:.1%}", f"{score.read / requests / 1024:,.0f} KiB"]


if __name__ == "__main__":
    main()
