"""Run the tests again and again on a busy machine: `make test-often ARGS="--runs 20 --hogs 2"`.

A test that fails in one run of twenty is as good as one that always fails: people stop believing it. Hogs are
processes that do nothing but use a core each. What comes after `--` is for pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOGS = ROOT / ".run" / "often"
HOG = "while True: pass"
SUMMARY = re.compile(r"^=* ?(.*\d+ (?:passed|failed|error).*) in [\d.]+s", re.MULTILINE)


class Run(NamedTuple):
    number: int
    status: int
    wall: float
    cpu: float
    summary: str

    def __str__(self) -> str:
        outcome = "passed" if self.status == 0 else "FAILED"
        return f"{self.number:3d} {outcome} {self.wall:7.1f} s {self.cpu:7.1f} s cpu  {self.summary}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-often", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--hogs", type=int, default=os.cpu_count(), help="one a core (%(default)s)")
    parser.add_argument("pytest", nargs="*", help="default: -n auto --dist worksteal")
    arguments = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    words = arguments.pytest or ["-n", "auto", "--dist", "worksteal"]
    with hogs(arguments.hogs):
        runs = [run(number, words) for number in range(1, arguments.runs + 1)]
    good = [each for each in runs if each.status == 0]
    print(f"{len(good)} of {len(runs)} runs passed beside {arguments.hogs} hogs; ", end="")
    print(f"{min(each.wall for each in runs):.0f} to {max(each.wall for each in runs):.0f} s each")
    return int(len(good) < len(runs))


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """Keep so many cores busy meanwhile."""
    with ExitStack() as stack:
        for _ in range(count):
            hog = stack.enter_context(subprocess.Popen([sys.executable, "-c", HOG]))
            stack.callback(hog.kill)
        yield


def run(number: int, words: list[str]) -> Run:
    """Run pytest once; its output is in .run/often/NUMBER.log."""
    log = LOGS / f"{number}.log"
    before, began = children_cpu(), monotonic()
    with log.open("wb") as file:
        command = [sys.executable, "-m", "pytest", *words]
        status = subprocess.call(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    found = SUMMARY.findall(log.read_text(errors="replace"))
    summary = found[-1] if found else f"no summary, see {log.relative_to(ROOT)}"
    done = Run(number, status, monotonic() - began, children_cpu() - before, summary)
    print(done, flush=True)
    return done


def children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
