"""CPU time and bytes of compressed answers of /symbolicate/v5, by coding and level.

Then what a whole request costs with and without Accept-Encoding. --data names another directory of symbol
files than that of `python -m bench.data`.
"""

from __future__ import annotations

import argparse
import gzip
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import zstandard

from bench import rig

FRAMES = (5, 40, 400, 4_000, 20_000)
LEVELS: dict[str, Callable[[bytes], bytes]] = {
    **{f"zstd {level}": zstandard.ZstdCompressor(level=level).compress for level in (1, 3, 6)},
    **{f"gzip {level}": partial(gzip.compress, compresslevel=level) for level in (1, 4, 6)},
}
LEAST_SECONDS = 0.2
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=rig.DATA)
    options = parser.parse_args()
    module = rig.modules(options.data)[0]
    with rig.redis_pair(SYMBOL_SOURCES=f"file://{options.data.resolve()}/") as environment:
        rig.enter(environment)
        rig.convert(module)
        levels(module)
        requests(module)


def levels(module: rig.Module) -> None:
    from django.test import Client  # noqa: PLC0415 - only now is Django set up

    functions, chance, rows = module.functions(), random.Random(1), []
    for count in FRAMES:
        body = rig.request(module.key, rig.frames(functions, count, chance))
        raw = Client().post("/symbolicate/v5", body, content_type="application/json").content
        for name, compress in LEVELS.items():
            size = len(compress(raw))
            rows.append(
                [
                    f"{count:,}",
                    f"{len(raw):,}",
                    name,
                    f"{size:,}",
                    f"{len(raw) / size:.1f}",
                    f"{cpu(compress, raw):.3f}",
                ]
            )
    rig.table(["frames", "bytes", "coding", "compressed", "factor", "CPU ms"], rows)


def cpu(compress: Callable[[bytes], object], raw: bytes) -> float:
    """Return the milliseconds of one compression."""
    rounds, started = 0, time.process_time()
    while time.process_time() - started < LEAST_SECONDS:
        compress(raw)
        rounds += 1
    return (time.process_time() - started) / rounds * 1000


def requests(module: rig.Module) -> None:
    """Measure a whole request of 40 warm frames in CPU time, which is steady on a busy machine, too."""
    from django.conf import settings  # noqa: PLC0415 - only now is Django set up
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415
    from django.test import RequestFactory, override_settings  # noqa: PLC0415

    without = [name for name in settings.MIDDLEWARE if name != "tecken.http.responses.compression_middleware"]
    with override_settings(MIDDLEWARE=without):
        bare = WSGIHandler()
    ours = WSGIHandler()
    body = rig.request(module.key, rig.frames(module.functions(), 40, random.Random(1)))

    def ask(handler: WSGIHandler, coding: str) -> None:
        headers = {"Accept-Encoding": coding} if coding else {}
        handler.get_response(RequestFactory(headers=headers).post("/symbolicate/v5", body, "text/plain"))

    cases: dict[str, Callable[[bytes], object]] = {
        "no middleware": lambda _raw: ask(bare, ""),
        "no Accept-Encoding": lambda _raw: ask(ours, ""),
        "gzip": lambda _raw: ask(ours, "gzip"),
        "zstd": lambda _raw: ask(ours, "zstd"),
    }
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            seen[name].append(cpu(case, b""))
    rig.table(
        ["request of 40 warm frames", "CPU ms"], [[name, f"{min(each):.3f}"] for name, each in seen.items()]
    )


if __name__ == "__main__":
    main()
