"""Pytest plugin that reports what tests cost: `make test ARGS="-p tests.support.costs"`.

Wall time says little on a busy machine and with tests side by side. Each test's processor time, including
that of its ended child processes, and its number of started processes do not depend on other work.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from time import monotonic
from typing import NamedTuple

import pytest

SHOWN_TESTS = 40
PROPERTY = "cost"
STARTS = {"subprocess.Popen", "os.posix_spawn", "os.fork"}


class Cost(NamedTuple):
    """Seconds, seconds of a processor, and processes started."""

    wall: float = 0.0
    cpu: float = 0.0
    processes: int = 0

    def line(self, title: str) -> str:
        return f"{self.wall:8.1f} s {self.cpu:8.1f} s cpu {self.processes:6d} processes  {title}"


class Costs:
    """Measures each phase of each test in the process that runs it, and sums up in the one that reports."""

    def __init__(self) -> None:
        self._processes = 0
        self._costs: dict[str, Cost] = defaultdict(Cost)
        sys.addaudithook(self._count)
        self._before = self._now()

    def _count(self, event: str, _arguments: object) -> None:
        self._processes += event in STARTS

    def _now(self) -> Cost:
        return Cost(monotonic(), sum(os.times()[:4]), self._processes)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = self._now()
        spent = [after - before for after, before in zip(now, self._before, strict=True)]
        report.user_properties = [*report.user_properties, (PROPERTY, spent)]
        self._before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, spent in report.user_properties:
            if name == PROPERTY and isinstance(spent, list):
                self._costs[report.nodeid] = total([self._costs[report.nodeid], Cost(*spent)])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        folders: dict[str, list[Cost]] = defaultdict(list)
        for test, cost in self._costs.items():
            folders[os.path.dirname(test.partition("::")[0])].append(cost)
        by_folder = {folder: total(costs) for folder, costs in folders.items()}
        terminalreporter.section("costs by directory")
        for title, cost in dearest(by_folder):
            terminalreporter.write_line(cost.line(title))
        terminalreporter.write_line(total(self._costs.values()).line("all"))
        terminalreporter.section(f"the {SHOWN_TESTS} dearest tests")
        for title, cost in dearest(self._costs)[:SHOWN_TESTS]:
            terminalreporter.write_line(cost.line(title))


def total(costs: Iterable[Cost]) -> Cost:
    walls, cpus, processes = zip(*costs, strict=True)
    return Cost(sum(walls), sum(cpus), sum(processes))


def dearest(costs: dict[str, Cost]) -> list[tuple[str, Cost]]:
    """Sort by processor time; what only waits costs little with tests side by side."""
    return sorted(costs.items(), key=lambda pair: pair[1].cpu, reverse=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs())
