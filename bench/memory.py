"""Memory of one web process while it answers 20,000 requests over many modules.

For each budget the three process caches get that many MiB together. The picture shows all curves.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import rig
from bench.picture import Curve, line_chart

MIB = 2**20
PICTURE = rig.ROOT / "docs" / "pictures" / "memory.svg"
POINTS = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--modules", type=int, default=60)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--budgets", type=int, nargs="+", default=[12, 48, 192], metavar="MIB")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment:
        rig.enter(environment)
        fleet = rig.fleet(options.modules, Path(folder))
        bodies = requests(fleet, options.frames)
        curves = {budget: curve(environment, budget, bodies, options.requests) for budget in options.budgets}
    report(curves)
    named = [Curve(f"{budget} MiB of caches", points) for budget, points in curves.items()]
    line_chart(options.picture, "Memory of one web process (MiB)", "requests answered", named)


def requests(fleet: Sequence[rig.Member], frames: int) -> Iterator[bytes]:
    """Each has a stack in one module, and each module is as likely as another."""
    chance = random.Random(1)
    while True:
        module = chance.choice(fleet)
        yield rig.request(module.key, rig.frames(module.functions, frames, chance))


def curve(
    environment: Mapping[str, str], budget: int, bodies: Iterator[bytes], count: int
) -> list[tuple[float, float]]:
    """(requests answered, MiB resident) in POINTS steps."""
    share = budget * MIB // 3
    rig.configure(
        environment, process_header_bytes=share, process_page_bytes=share, process_frame_bytes=share
    )
    points = []
    with rig.web(environment, "0-3") as (port, pid):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for done in range(count + 1):
            if done % (count // POINTS) == 0:
                points.append((float(done), resident(pid)))
            rig.post(connection, next(bodies))
    return points


def resident(pid: int) -> float:
    """MiB of the largest process of a web server: its worker."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    return max([own, *(resident(int(child)) for child in children)])


def report(curves: Mapping[int, Sequence[tuple[float, float]]]) -> None:
    rows = []
    for budget, points in curves.items():
        values = [value for _, value in points]
        shown = (values[0], values[len(values) // 4], values[len(values) // 2], values[-1], max(values))
        rows.append([f"{budget} MiB", *(f"{value:.0f}" for value in shown)])
    rig.table(["caches", "start MiB", "after a quarter", "half", "all", "peak"], rows)


if __name__ == "__main__":
    main()
