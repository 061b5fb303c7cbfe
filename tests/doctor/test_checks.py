"""How checks run: side by side, each within its deadline, after those that they need."""

from __future__ import annotations

import os
from threading import Barrier, Event

import pytest

from tecken.doctor.checks import Check, CheckEnded, CheckFinding, CheckResult, failed, ok, run_checks, warning
from tecken.doctor.report import find_status, judge
from tecken.errors import Unavailable


def well() -> CheckFinding:
    return ok("Works.")


def ill() -> CheckFinding:
    return failed("Does not work.", "Repair it.")


def results_of(*checks: Check, skip: tuple[str, ...] = ()) -> dict[str, CheckResult]:
    return {result.check.id: result for result in run_checks(checks, skip)}


def test_checks_without_needs_run_side_by_side() -> None:
    meeting = Barrier(2, timeout=30)

    def meet() -> CheckFinding:
        meeting.wait()
        return well()

    results = results_of(Check("a", meet, seconds=60), Check("b", meet, seconds=60))
    assert {result.finding.level for result in results.values()} == {"ok"}


def test_check_that_is_late_fails_and_may_pass() -> None:
    end = Event()

    def hang() -> CheckFinding:
        end.wait(30)
        return well()

    results = results_of(Check("slow", hang, seconds=0.05), Check("b", well, ("slow",)))
    end.set()
    assert results["slow"].finding.level == "failed"
    assert results["slow"].finding.transient
    assert results["b"].is_blocked


def test_check_whose_need_failed_names_it_and_blocks_others() -> None:
    results = results_of(Check("c", well, ("b",)), Check("b", well, ("a",)), Check("a", ill))
    assert results["b"].finding.text == "Not checked, because it needs what failed: a."
    assert results["c"].finding.text == "Not checked, because it needs what failed: b."
    assert results["c"].finding.level == "skipped"


def test_check_whose_need_is_left_out_runs() -> None:
    results = results_of(Check("a", ill), Check("b", well, ("a",)), skip=("a",))
    assert results["a"].finding.text == "Left out, as requested."
    assert results["b"].finding.level == "ok"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unavailable("storage does not answer"), "storage does not answer."),
        (ValueError("redis://user:secret@host"), "The check failed: ValueError."),
        (CheckEnded(failed("It is red.", "Paint it.")), "It is red."),
    ],
)
def test_check_that_raises_fails_without_secrets(error: Exception, text: str) -> None:
    def fail() -> CheckFinding:
        raise error

    finding = results_of(Check("a", fail))["a"].finding
    assert (finding.level, finding.text) == ("failed", text)
    assert finding.next


@pytest.mark.parametrize(
    ("findings", "level", "status"),
    [
        ([ok("")], "ok", 0),
        ([ok(""), warning("", "")], "warning", 3),
        ([warning("", ""), failed("", "", transient=True)], "failed", os.EX_TEMPFAIL),
        ([failed("", "", transient=True), failed("", "")], "failed", os.EX_CONFIG),
    ],
)
def test_status_is_that_of_the_worst_check(findings: list[CheckFinding], level: str, status: int) -> None:
    results = [CheckResult(Check("settings", well), finding, 0.0) for finding in findings]
    assert (judge(results), find_status(results)) == (level, status)
