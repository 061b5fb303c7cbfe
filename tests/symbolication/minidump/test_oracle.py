"""Reports of real dumps are those of minidump-stackwalk, frame by frame."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson
import pytest

from tests.oracle import minidumps
from tests.oracle.minidumps import DUMPS, EXPECTED, UnwoundModule, comparable, differences

STACKWALK = minidumps.find_stackwalk()


@cache
def expected() -> dict[str, minidumps.Report]:
    reports: dict[str, minidumps.Report] = orjson.loads(minidumps.unpack(EXPECTED))
    return reports


@cache
def symbol_files() -> minidumps.SymbolFiles:
    return minidumps.read_symbols()


@cache
def modules() -> dict[tuple[str, str], UnwoundModule]:
    return {key: UnwoundModule(sym) for key, sym in symbol_files().items()}


@cache
def report_of(name: str) -> minidumps.Report:
    return minidumps.report_of(minidumps.read_dump(name), modules())


@pytest.mark.parametrize("name", DUMPS)
def test_report_of_a_crash_is_that_of_stackwalk(name: str) -> None:
    ours = orjson.loads(orjson.dumps(comparable(report_of(name))))

    assert list(differences(ours, expected()[name])) == []


@pytest.mark.parametrize("name", DUMPS)
@pytest.mark.skipif(not STACKWALK, reason="cargo install minidump-stackwalk --version 0.27.0")
def test_expected_report_is_what_stackwalk_prints_here(name: str, tmp_path: Path) -> None:
    assert STACKWALK
    minidumps.write_symbols(symbol_files(), tmp_path)
    theirs = minidumps.run_stackwalk(STACKWALK, minidumps.read_dump(name), tmp_path)

    assert list(differences(comparable(theirs), expected()[name])) == []


def test_expected_reports_cover_every_finding_about_a_crash() -> None:
    crashes = [report["crash"] for report in expected().values()]
    accesses = [access for crash in crashes for access in crash["memory_accesses"] or ()]
    flips = [flip for crash in crashes for flip in crash["possible_bit_flips"] or ()]

    kinds = {crash["adjusted_address"]["kind"] for crash in crashes if crash["adjusted_address"]}
    assert kinds == {"null-pointer", "non-canonical"}
    assert {access["access_type"] for access in accesses} == {"read", "write", "readwrite"}
    assert any(access.get("is_likely_guard_page") for access in accesses)
    assert any(crash["instruction_pointer_update"] for crash in crashes)
    assert {flip["details"]["was_non_canonical"] for flip in flips} == {True, False}
    assert {flip["source_register"] for flip in flips} == {None, "rdi"}


def test_expected_reports_cover_every_way_to_find_a_frame() -> None:
    threads = [thread for report in expected().values() for thread in report["threads"]]

    assert {frame["trust"] for thread in threads for frame in thread["frames"]} == {
        "context", "cfi", "frame_pointer", "scan",
    }  # fmt: skip
