"""Accuracy of the miss-ratio curve of /store/: a sample against all accesses, and against real servers.

First a recorded trace: the load of bench/hitratio.py through our own library, every access written
down. Then larger ones that are made up: modules and functions Zipf-distributed, sizes as real ones have them.
The error is the mean over a hundred sizes, as in the paper, and the largest of them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from bench import hitratio, rig
from tecken.store.miss_ratio import Access, Chunk, MissRatioCurve, curve, hash_name, is_sampled, threshold
from tests.support.redis_server import RedisServer

CHUNKS = 40
SIZES = 100
RATIOS = (0.90, 0.95, 0.99)
MODULES, PAGES, SHAPE = 1500, 30_000, (4, 1.6)  # a few pages mostly, and tens of thousands seldom


class Recorder:
    """Replacement of tecken.store.access_counts.Accesses that keeps every access."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []

    def note(self, asked: Iterable[tuple[str, int]]) -> None:
        self.accesses += (Access(hash_name(name), size + 150) for name, size in asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--modules", type=int, default=300, help="of the recorded trace")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.01, 0.001])
    parser.add_argument(
        "--made-up", type=int, default=3, help="traces that are made up, 660,000 accesses each"
    )
    options = parser.parse_args()
    print(f"\none key of Redis needs {overhead():.0f} bytes besides its page")
    head = [
        "trace",
        "keys",
        "accesses",
        "sampled",
        "error: mean",
        "largest",
        "seconds",
        "MB for 90 %, 95 %, 99 %",
    ]
    recorded, served = record(options.modules, options.requests)
    rows = list(judged("recorded", recorded, options.rates))
    for seed in range(options.made_up):
        rows += judged(f"made up {seed + 1}", made_up(random.Random(seed), 15_000), options.rates)
    rig.table(head, rows)
    exact = curve(chunks(recorded, 1.0), warm_up=0.5)
    against = [[f"{size / 1e6:.0f}", f"{told:.1%}", f"{exact.hit_ratio(size):.1%}"] for size, told in served]
    rig.table(["maxmemory, MB", "hits of a real server", "hits by the exact curve"], against)


def judged(name: str, accesses: Sequence[Access], rates: Sequence[float]) -> Iterator[list[str]]:
    start = time.perf_counter()
    exact = curve(chunks(accesses, 1.0))
    keys = f"{len({access.key for access in accesses}):,}"
    first = [name, keys, f"{len(accesses):,}"]
    yield [*first, "all", "", "", f"{time.perf_counter() - start:.1f}", memory(exact)]
    for rate in rates:
        start = time.perf_counter()
        told = curve(chunks(accesses, rate))
        took = time.perf_counter() - start
        errors = list(differences(told, exact))
        mean = sum(errors) / len(errors)
        yield [*first, f"{rate:.1%}", f"{mean:.2%}", f"{max(errors):.1%}", f"{took:.2f}", memory(told)]


def chunks(accesses: Sequence[Access], rate: float) -> list[Chunk]:
    below, length = threshold(rate), -(-len(accesses) // CHUNKS)
    parts = (accesses[start : start + length] for start in range(0, len(accesses), length))
    return [Chunk(below, len(part), tuple(a for a in part if is_sampled(a.key, below))) for part in parts]


def differences(told: MissRatioCurve, exact: MissRatioCurve) -> Iterator[float]:
    for step in range(1, SIZES + 1):
        size = exact.sizes[-1] * step // SIZES
        yield abs(told.hit_ratio(size) - exact.hit_ratio(size))


def memory(of: MissRatioCurve) -> str:
    sizes = [of.size_for(ratio) for ratio in RATIOS]
    return ", ".join("-" if size is None else f"{size / 1e6:.0f}" for size in sizes)


def record(modules: int, requests: int) -> tuple[list[Access], list[tuple[int, float]]]:
    """Every access, and the hit ratios of real servers of some sizes."""
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment:
        rig.configure(environment, process_page_bytes=1, process_frame_bytes=1)
        rig.enter(environment)
        fleet = rig.fleet(modules, Path(folder))
        stacks = list(islice(hitratio.load(fleet, 40, 1.0), requests))
        recorder = watch()
        total = sum(member.size for member in fleet)
        hitratio.pages(stacks, total * 4)
        accesses = list(recorder.accesses)
        sizes = [total * share // 100 for share in (5, 10, 20)]
        return accesses, [(size, hits(hitratio.pages(stacks, size))) for size in sizes]


def hits(score: hitratio.Score) -> float:
    return score.hits / score.asked


def watch() -> Recorder:
    from tecken.store import services as store_services  # noqa: PLC0415 - only now is Django set up
    from tecken.store.access_counts import InstrumentedStore  # noqa: PLC0415
    from tecken.symbolication import services as symbolication_services  # noqa: PLC0415 - only now is Django set up

    recorder: Any = Recorder()
    symbolication_services.symbol_loader()._store = InstrumentedStore(store_services.page_store(), recorder)
    return recorder  # type: ignore[no-any-return]


def made_up(chance: random.Random, requests: int) -> list[Access]:
    """Four modules a request; of each its header and ten pages."""
    counts = [min(PAGES, max(1, int(chance.lognormvariate(*SHAPE)))) for _ in range(MODULES)]
    weights = hitratio.zipf_weights(MODULES, 1.0)
    known: dict[tuple[int, int], Access] = {}
    accesses = []
    for _ in range(requests):
        for module in chance.choices(range(MODULES), cum_weights=weights, k=4):
            pages = [int(counts[module] ** chance.random()) for _ in range(10)]
            accesses += [found(known, (module, page), counts[module], chance) for page in (0, *pages)]
    return accesses


def found(
    known: dict[tuple[int, int], Access], key: tuple[int, int], pages: int, chance: random.Random
) -> Access:
    """Page 0 is the header, some four bytes for each page."""
    if key not in known:
        size = 200 + 4 * pages if key[1] == 0 else int(chance.lognormvariate(8.2, 0.6))
        known[key] = Access(hash_name(f"{key[0]}/{key[1]}"), size + 150)
    return known[key]


def overhead(count: int = 20_000) -> float:
    """Return the overhead in bytes."""
    with RedisServer(rig.IMAGES / "redis" / "redis.conf") as server:
        client = redis.Redis.from_url(server.url)
        before = client.info("memory")["used_memory"]
        with client.pipeline(transaction=False) as pipeline:
            for number in range(count):
                name = f":1:symbol:xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/0123456789abcdef/{number}"
                pipeline.set(name, bytes(4000))
            pipeline.execute()
        return float(client.info("memory")["used_memory"] - before) / count - 4000


if __name__ == "__main__":
    main()
