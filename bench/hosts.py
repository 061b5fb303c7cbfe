"""Service of a site on 14 hosts while one of them has failed: `python -m bench.hosts [NAME...]`.

Hosts are network namespaces (tests/support/network.py), so this needs root on Linux, iproute2, util-linux,
haproxy, redis-server, PostgreSQL, and versitygw on PATH or in S3_SERVER. Requests of every kind run through
a balancer while a host fails for some seconds and recovers. A request that was not served was either refused,
by a 503 with its reason and Retry-After, or it failed. Nothing remains after the end, Ctrl-C or a SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from bench import rig
from tests.support.counted_jobs import counted
from tests.support.load import KINDS, Answer, Load, seconds_to_recover
from tests.support.network import find_obstacle, isolate
from tests.system.host_faults import FAULTS, HostFault
from tests.system.hosts import HostedSite, find_missing

STARTS_WITHIN = 120.0  # seconds
RECOVERS_WITHIN = 60.0
JOBS_DONE_WITHIN = 150.0
IN_A_ROW = 5  # answers of each kind, then it has recovered
HEAD = (
    "fault",
    "served, slowest",
    "refused",
    "failed",
    "wrong",
    "uploads and jobs: accepted, lost, done twice",
    "all served again: during the fault, after it",
)


class Result(NamedTuple):
    """`failover` is counted from the beginning of the fault, `recovered` from its end."""

    fault: HostFault
    during: list[Answer]
    failover: float
    recovered: float
    accepted: int
    lost: int
    doubles: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of faults; all of them without one")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a fault lasts")
    parser.add_argument("--list", action="store_true", help="print the names of all faults")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of a table")
    options = parser.parse_args()
    if options.list:
        sys.exit("\n".join(f"{fault.name:18} {fault.what}" for fault in FAULTS))
    if unknown := set(options.names) - {fault.name for fault in FAULTS}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if obstacle := find_missing() or find_obstacle():
        sys.exit(f"Cannot make hosts: {obstacle}")
    isolate("bench.hosts")
    chosen = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    results = measure_all(chosen, options.seconds)
    print_json(results) if options.json else print_table(results)
    sys.exit(len(results) < len([fault for fault in chosen if not fault.obstacle()]))


def measure_all(faults: Sequence[HostFault], seconds: float) -> list[Result]:
    """Run the faults one after another on one site. Ctrl-C returns the results so far."""
    results: list[Result] = []
    site = HostedSite()
    try:
        site.start()
        token = site.token()
        progress(f"started {len(site.network.hosts)} hosts")
        for fault in faults:
            if obstacle := fault.obstacle():
                progress(f"{fault.name}: skipped, {obstacle}")
                continue
            results.append(measure(fault, site, token, fault.seconds or seconds))
            progress(" | ".join(map(str, row(results[-1]))))
    except KeyboardInterrupt:
        progress("interrupted")
    except TimeoutError as error:
        progress(f"ended: {error}\n{site.log_ends()}")
    return results


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure(fault: HostFault, site: HostedSite, token: str, seconds: float) -> Result:
    site.wait_until_whole()
    load = Load(site.url, token, site.symbols)
    load.warm_up(STARTS_WITHIN)
    done_before = counted(site.jobs_counted)
    with load.going():
        load.wait_for(IN_A_ROW, STARTS_WITHIN, served=True)
        begin = time.monotonic()
        with fault.during(site):
            time.sleep(seconds)
            end = time.monotonic()
        with suppress(TimeoutError):
            load.wait_for(IN_A_ROW, RECOVERS_WITHIN, served=True)
    lost = len(load.jobs_lost(JOBS_DONE_WITHIN)) + len(load.uploads_lost())
    done = counted(site.jobs_counted) - done_before
    during = [answer for answer in load.answers if begin <= answer.ended and answer.began < end]
    return Result(
        fault,
        during,
        failover=max(recovery([one for one in during if one.kind == kind], begin) for kind in KINDS),
        recovered=max(recovery(load.of(kind), end) for kind in KINDS),
        accepted=len(load.jobs) + len(load.uploads),
        lost=lost,
        doubles=done.total() - len(done),
    )


def recovery(answers: Sequence[Answer], since: float) -> float:
    return seconds_to_recover(sorted(answers, key=lambda one: one.ended), since)


def count(answers: Sequence[Answer]) -> dict[str, Counter[str]]:
    """Return the number of answers by outcome and kind. A wrong answer looks like one that is right."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ("served", "refused", "failed", "wrong")}
    for answer in answers:
        is_wrong = answer.outcome == "failed" and answer.status in {200, 201, 202, 302, 404}
        found["wrong" if is_wrong else answer.outcome][answer.kind] += 1
    return found


def row(result: Result) -> list[object]:
    counts = count(result.during)
    return [
        result.fault.what,
        f"{counts['served'].total()}, {slowest(result.during):.1f} s",
        *(cell(counts[outcome]) for outcome in ("refused", "failed", "wrong")),
        f"{result.accepted}, {result.lost}, {result.doubles}",
        f"{duration(result.failover)}, {duration(result.recovered)}",
    ]


def slowest(answers: Sequence[Answer]) -> float:
    """Return the longest time until a request was served."""
    return max((answer.seconds for answer in answers if answer.outcome == "served"), default=0.0)


def cell(counts: Counter[str]) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    return f"{counts.total()}: {kinds}" if kinds else "0"


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < float("inf") else "no"


def print_table(results: Sequence[Result]) -> None:
    rig.table(HEAD, [row(result) for result in results])
    print(f"\n{time.strftime('%Y-%m-%d %H:%M')}, load average {os.getloadavg()[0]:.0f}")
    for result in results:
        for said in sorted({answer.said for answer in result.during if answer.outcome == "failed"}):
            print(f"{result.fault.name}: {said}")


def print_json(results: Sequence[Result]) -> None:
    documents: list[dict[str, Any]] = [
        {
            "name": result.fault.name,
            **count(result.during),
            "failover": result.failover,
            "recovered": result.recovered,
            "accepted": result.accepted,
            "lost": result.lost,
            "doubles": result.doubles,
            "failures": sorted({one.said for one in result.during if one.outcome == "failed"}),
        }
        for result in results
    ]
    print(json.dumps(documents))


if __name__ == "__main__":
    main()
