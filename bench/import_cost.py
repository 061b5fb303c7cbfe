"""CPU time and memory of importing modules: `python -m bench.import_cost iced_x86 capstone --path DIR`.

Each is imported by a process of its own, --runs times, and what a process without it takes is subtracted. DIR
has packages that are not installed. Bytecode is written by a run that does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from bench import rig

MEASURE = """
import resource
{statement}
usage = resource.getrusage(resource.RUSAGE_SELF)
pages = int(open("/proc/self/statm").read().split()[1])
print(usage.ru_utime + usage.ru_stime, pages * resource.getpagesize() >> 10)
"""


def main() -> None:
    """Print a table of the modules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="+", metavar="MODULE")
    parser.add_argument("--path", type=Path, metavar="DIR", help="where packages are that are not installed")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    environment = {**os.environ, **({"PYTHONPATH": str(options.path)} if options.path else {})}
    rows = []
    for name in options.modules:
        # One after the other, so that other work on the machine meets both.
        pairs = [
            (measure(f"import {name}", environment), measure("pass", environment))
            for _ in range(options.runs + 1)
        ][1:]
        seconds = median(with_it[0] - without[0] for with_it, without in pairs)
        kilobytes = median(with_it[1] - without[1] for with_it, without in pairs)
        rows.append([name, f"{seconds * 1000:.0f} ms", f"{kilobytes / 1024:.1f} MiB"])
    rig.table(["module", "CPU", "memory"], rows)


def measure(statement: str, environment: dict[str, str]) -> tuple[float, int]:
    """Return seconds of CPU and KiB of memory of a process that runs a statement."""
    command = [sys.executable, "-c", MEASURE.format(statement=statement)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes)


if __name__ == "__main__":
    main()
