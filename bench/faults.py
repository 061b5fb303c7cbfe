"""Service of a site while one of its parts has failed: `python -m bench.faults [NAME...]`.

Real servers, two web processes, two of a worker. Requests of every kind run at the same time
(tests/support/load.py); then a part fails for some seconds and recovers. A request that was not served was
either refused, by a 503 with Retry-After, or it failed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import rig
from tests.support.counted_jobs import counted
from tests.support.load import KINDS, Answer, Load, seconds_to_recover
from tests.system.faults import FAULTS, NEEDS_POSTGRES, Fault
from tests.system.faulty import FaultySite

STARTS_WITHIN = 60.0  # seconds
RECOVERS_WITHIN = 60.0
JOBS_DONE_WITHIN = 150.0
IN_A_ROW = 10  # answers of each kind, then it has recovered


class Span(NamedTuple):
    """Period of the fault, by time.monotonic()."""

    begin: float
    end: float


class Result(NamedTuple):
    fault: Fault
    before: list[Answer]
    during: list[Answer]
    recovered: float
    jobs: int
    lost: int
    doubles: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of faults; all of them without one")
    parser.add_argument("--seconds", type=float, default=8.0, help="that a fault lasts")
    options = parser.parse_args()
    chosen = [
        fault for fault in (*FAULTS, *NEEDS_POSTGRES) if not options.names or fault.name in options.names
    ]
    report([measured(fault, options.seconds) for fault in chosen])


def measured(fault: Fault, seconds: float) -> Result:
    """Run the fault on a site of its own and return the measurement."""
    with TemporaryDirectory(prefix="bench-") as home, fault.site(Path(home)) as site:
        load = Load(site.url, site.token(), site.symbols)
        load.warm_up(STARTS_WITHIN)
        with load.going():
            time.sleep(seconds / 2)
            span = under(fault, site, seconds)
            load.wait_for(IN_A_ROW, RECOVERS_WITHIN, served=True)
        lost = load.jobs_lost(JOBS_DONE_WITHIN)
        return result(fault, load, span, len(lost), site.jobs_counted)


def under(fault: Fault, site: FaultySite, seconds: float) -> Span:
    begin = time.monotonic()
    with fault.during(site):
        time.sleep(seconds)
        end = time.monotonic()
    return Span(begin, end)


def result(fault: Fault, load: Load, span: Span, lost: int, jobs: Path) -> Result:
    everything = sorted(load.answers, key=lambda one: one.began)
    done = counted(jobs)
    return Result(
        fault,
        before=[one for one in everything if one.ended < span.begin],
        during=[one for one in everything if span.begin <= one.ended and one.began < span.end],
        recovered=max(seconds_to_recover(load.of(kind), span.end) for kind in KINDS),
        jobs=len(load.jobs),
        lost=lost + len(load.uploads_lost()),
        doubles=done.total() - len(done),
    )


def report(results: Sequence[Result]) -> None:
    head = ["fault", *KINDS, "all served again after", "jobs: accepted, lost, done twice"]
    rows = [
        [
            one.fault.what,
            *(cell([answer for answer in one.during if answer.kind == kind]) for kind in KINDS),
            f"{one.recovered:.1f} s",
            f"{one.jobs}, {one.lost}, {one.doubles}",
        ]
        for one in results
    ]
    without = [answer for one in results for answer in one.before]
    undisturbed = [cell([answer for answer in without if answer.kind == kind]) for kind in KINDS]
    rig.table(head, [["none", *undisturbed, "", ""], *rows])
    for one in results:
        for said in sorted({answer.said for answer in one.during if answer.outcome == "failed"}):
            print(f"{one.fault.name}: {said}")


def cell(answers: Sequence[Answer]) -> str:
    """Served in p50 / p99 ms; what was not, and how soon at the median."""
    parts = []
    for outcome in ("served", "refused", "failed"):
        seconds = [one.seconds for one in answers if one.outcome == outcome]
        if outcome == "served" and seconds:
            times = " / ".join(f"{rig.quantile(seconds, share) * 1e3:.0f}" for share in (0.5, 0.99))
            parts.append(f"{len(seconds)} in {times} ms")
        elif seconds:
            parts.append(f"{len(seconds)} {outcome} in {rig.median(seconds) * 1e3:.0f} ms")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
