"""Time of one read of a page file, which a miss of the store costs: `python -m bench.page_reads [URL]`.

Writes page files of PAGES pages to a storage and reads single pages of them, in the order of a shuffle. The
storage is a directory, or the bucket of a URL such as s3://bucket, with the settings of the environment. What
it writes there below `bench/` is removed at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import rig

FILES, PAGES, PAGE_BYTES, READS = 20, 200, 5_000, 1_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="default: a new directory")
    url = parser.parse_args().url
    os.environ.update(DJANGO_SETTINGS_MODULE="tecken.settings", SECRET_KEY="bench", DEMO_MODE="true")
    import django  # noqa: PLC0415 - reads the environment

    django.setup()
    with ExitStack() as stack:
        url = url or Path(stack.enter_context(TemporaryDirectory(prefix="bench-"))).as_uri()
        took = sorted(measure(url))
    quantiles = [f"{1000 * took[int(share * (len(took) - 1))]:.2f}" for share in (0.5, 0.95, 0.99)]
    rig.table(
        ["storage", "p50 ms", "p95 ms", "p99 ms", "mean ms"],
        [(url.partition(":")[0], *quantiles, f"{1000 * statistics.mean(took):.2f}")],
    )


def measure(url: str) -> list[float]:
    """Return the seconds of each read."""
    from tecken.storage.backends.bucket import bucket_for  # noqa: PLC0415 - as above

    bucket, content = bucket_for(url), os.urandom(PAGES * PAGE_BYTES)
    names = [f"bench/{number}" for number in range(FILES)]
    for name in names:
        bucket.put(name, [content])
    took = []
    for _ in range(READS):
        name, page = random.choice(names), random.randrange(PAGES)
        begin = time.perf_counter()
        bucket.ranges(name, [(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)])
        took.append(time.perf_counter() - begin)
    for name in names:
        bucket.delete(name)
    return took


if __name__ == "__main__":
    main()
