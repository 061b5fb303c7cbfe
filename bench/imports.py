"""Import of a bucket: objects and megabytes per second, on PostgreSQL: `python -m bench.imports [OBJECTS]`.

The source is a directory with symbol files in gzip form, as Mozilla's Tecken stores them, 90 KB of text each.
The first run stores all of them, the second one finds them complete, and the check reads 50 of them. Rates of
bytes are of the objects, as stored. A bucket adds the time of its own requests, which more threads hide.
"""

from __future__ import annotations

import gzip
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rig import enter, redis_pair, table
from tests.support.postgres import PostgresServer

OBJECTS = 2_000
FUNCTIONS = 2_000
EMAIL = "bench@example.com"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else OBJECTS
    server = PostgresServer("shared_buffers=512MB").start()
    try:
        with redis_pair(DATABASE_URL=server.url) as environment, TemporaryDirectory() as home:
            enter(environment)
            size = fill(Path(home), count)
            measure(home, count, size)
    finally:
        server.close()


def fill(root: Path, count: int) -> int:
    """Write the objects and return their bytes."""
    chance, size = random.Random(1), 0
    for number in range(count):
        debug_id = f"{chance.getrandbits(128):032X}0"
        lines = [f"MODULE Linux x86_64 {debug_id} lib{number}.so"]
        lines += [
            f"FUNC {address:x} 40 0 ns::Class{chance.getrandbits(40)}::method"
            for address in range(0, FUNCTIONS * 64, 64)
        ]
        path = root / "v1" / f"lib{number}.so" / debug_id / f"lib{number}.so.sym"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        size += path.stat().st_size
    return size


def measure(source: str, count: int, size: int) -> None:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    import tecken.celery  # noqa: F401, PLC0415 - tasks are sent by the current app

    call_command("migrate", verbosity=0)
    User.objects.create_user(EMAIL, EMAIL)

    def run(*options: str) -> Callable[[], object]:
        return lambda: call_command(
            "symbols", "import", source, "--layout", "tecken", "--user", EMAIL, *options
        )

    steps = (("plan", ("--dry-run",)), ("first run", ()), ("second run", ()), ("check", ("--verify",)))
    rows = []
    for name, options in steps:
        seconds, cpu = timed(run(*options))
        rate = count / seconds
        rows.append(
            [
                name,
                f"{rate:,.0f}",
                f"{size / seconds / 1e6:.1f}",
                f"{1e3 * cpu / count:.2f}",
                f"{1e6 / rate / 3600:.1f}",
            ]
        )
    table((f"{count:,} objects, {size / 1e6:.0f} MB", "objects/s", "MB/s", "CPU ms", "hours a million"), rows)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return seconds, and seconds of CPU of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    main()
