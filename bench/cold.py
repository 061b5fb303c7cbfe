"""The first answer for a module never seen, from a local HTTP upstream through queue and worker.

Against the time of its conversion alone, in the same run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import HTTPConnection

from bench import rig
from tests.support.redis_server import free_port

WORKER = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "tecken",
    "worker",
    "--concurrency",
    "1",
    "--loglevel",
    "WARNING",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    module = rig.modules()[0]
    body = rig.request(module.key, rig.frames(module.functions(), 40, random.Random(1)))
    port = free_port()
    upstream = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        str(rig.DATA),
    ]
    with (
        rig.redis_pair(SYMBOL_SOURCES=f"http://127.0.0.1:{port}/") as environment,
        rig.process(upstream, environment, port, quiet=True),
        rig.process(WORKER, environment),
    ):
        rig.configure(environment, symbolicate_deadline_seconds=120)
        rig.enter(environment)
        rows = [one(environment, module, body) for _ in range(options.rounds)]
    report(module, rows)


def one(environment: Mapping[str, str], module: rig.Module, body: bytes) -> tuple[float, float]:
    """Seconds of the first answer, and of converting."""
    forget(module)
    with rig.web(environment, "0-3") as (port, _):
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        start = time.perf_counter()
        answer = rig.post(connection, body)
        first = time.perf_counter() - start
        if b'"function"' not in answer:
            raise RuntimeError(answer[:500])
    return first, conversion(module)


def forget(module: rig.Module) -> None:
    from tecken.redisclient import services as redis_services  # noqa: PLC0415
    from tecken.storage import services as storage_services  # noqa: PLC0415
    from tecken.store import services as store_services  # noqa: PLC0415
    from tecken.symbols.ids import ObjectId  # noqa: PLC0415

    key = ObjectId.parse(*module.key)
    storage_services.page_files().delete(key)
    store_services.page_store().forget(key)
    redis_services.cache_client().flushdb()


def conversion(module: rig.Module) -> float:
    from tecken.symbolication import services as symbolication_services  # noqa: PLC0415

    start = time.perf_counter()
    with symbolication_services.page_file_builder().of(chunks(module)) as made:
        for _ in made.chunks():
            pass
    return time.perf_counter() - start


def chunks(module: rig.Module) -> Iterator[bytes]:
    with module.path.open("rb") as file:
        yield from iter(partial(file.read, 1 << 20), b"")


def report(module: rig.Module, rows: list[tuple[float, float]]) -> None:
    firsts, conversions = zip(*rows, strict=True)
    ratios = [first / converted for first, converted in rows]
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(rows)} rounds")
    columns = [f"{rig.median(values):.2f}" for values in (firsts, conversions, ratios)]
    rig.table(["first answer s", "conversion s", "ratio"], [columns])


if __name__ == "__main__":
    main()
