from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tecken.symbolication.minidump.dump import (
    CrashInfo,
    DumpModule,
    DumpThread,
    Minidump,
    Modules,
    SystemInfo,
)
from tecken.symbolication.minidump.findings import CrashAnalysis, StackOverflow
from tecken.symbolication.minidump.port import ModuleState
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.stack import Stack, StackFrame
from tecken.symbols.lookup import Frame, Inline

APP = DumpModule(
    0x40_0000, 0x1000, "c:\\app.exe", "45d35f6c1000", "app.pdb", "5A9832E5287241C1838ED98914E9B7FF1A"
)
GONE = (
    DumpModule(0x1_0000, 0x1000, "gone.dll", "1"),
    DumpModule(0x8000, 0x1_0000, "gone.dll", "2"),
    DumpModule(0x1_0000, 0x1000, "also.dll", "3"),
)
LOADED = ModuleState("loaded")


EMPTY = Minidump(
    system=SystemInfo("Linux", "6.1", "x86", None, 1),
    modules=Modules([APP]),
    unloaded=(),
    threads=(DumpThread(7, None, None),),
    crash=None,
    requesting_thread=None,
    process_id=None,
    uptime_seconds=None,
    facts={},
    warnings=(),
)


def dump_of(cpu: str = "x86", **parts: Any) -> Minidump:
    return EMPTY._replace(system=EMPTY.system._replace(cpu=cpu), **parts)


def write(
    dump: Minidump,
    stacks: Sequence[Stack] = (Stack(()),),
    frames: Sequence[Sequence[Frame | None]] = ((),),
    state: ModuleState = LOADED,
) -> dict[str, Any]:
    report: dict[str, Any] = orjson.loads(write_report(dump, stacks, frames, [state]))
    return report


def write_frame(dump: Minidump, instruction: int, frame: Frame | None = None) -> dict[str, Any]:
    stack = Stack((StackFrame(instruction, dump.modules.find(instruction), "cfi", {}),))
    written: dict[str, Any] = write(dump, [stack], [[frame]])["threads"][0]["frames"][0]
    return written


def test_frame_with_symbol_has_function_place_and_offsets() -> None:
    assert write_frame(dump_of(), 0x40_0123, Frame("main", 0x100, "a.c", 7)) == {
        "frame": 0,
        "offset": "0x00400123",
        "module": "app.exe",
        "module_offset": "0x00000123",
        "unloaded_modules": None,
        "function": "main",
        "function_offset": "0x00000023",
        "file": "a.c",
        "line": 7,
        "inlines": None,
        "missing_symbols": False,
        "trust": "cfi",
    }


def test_frame_of_public_symbol_has_no_place() -> None:
    frame = write_frame(dump_of(), 0x40_0123, Frame("main", 0x100, "", 0))
    assert (frame["function"], frame["file"], frame["line"]) == ("main", None, None)


def test_frame_without_symbol_has_nulls() -> None:
    frame = write_frame(dump_of(), 0x40_0123)
    missing = [key for key, value in frame.items() if value is None]
    assert missing == ["unloaded_modules", "function", "function_offset", "file", "line", "inlines"]
    assert frame["missing_symbols"] is True


def test_inlined_calls_have_the_deepest_first() -> None:
    inlines = (Inline("deepest", "b.h", 3), Inline("outer", "", 0))
    frame = write_frame(dump_of(), 0x40_0123, Frame("main", 0x100, "a.c", 7, inlines))
    assert frame["inlines"] == [
        {"function": "deepest", "file": "b.h", "line": 3},
        {"function": "outer", "file": None, "line": None},
    ]
    assert (frame["function"], frame["file"], frame["line"]) == ("main", "a.c", 7)


def test_frame_outside_of_modules_has_the_unloaded_modules_at_its_address() -> None:
    frame = write_frame(dump_of(unloaded=GONE), 0x1_0010)
    assert (frame["module"], frame["module_offset"]) == (None, None)
    assert frame["unloaded_modules"] == [
        {"module": "also.dll", "offsets": ["0x00000010"]},
        {"module": "gone.dll", "offsets": ["0x00000010", "0x00008010"]},
    ]


def test_frame_in_a_module_has_no_unloaded_modules() -> None:
    dump = dump_of(unloaded=(DumpModule(0x40_0000, 0x1000, "gone.dll"),))
    assert write_frame(dump, 0x40_0010)["unloaded_modules"] is None


@pytest.mark.parametrize(("cpu", "address"), [("x86", "0x00000010"), ("amd64", "0x0000000000000010")])
def test_addresses_have_the_digits_of_a_pointer(cpu: str, address: str) -> None:
    dump = dump_of(cpu, crash=CrashInfo("SIGSEGV", 0x10))
    assert write(dump)["crash_info"]["address"] == address


@pytest.mark.parametrize(
    ("state", "missing", "loaded", "corrupt"),
    [
        ("loaded", False, True, False),
        ("missing", True, False, False),
        ("unavailable", True, False, False),
        ("corrupt", False, True, True),
        ("unused", False, False, False),
    ],
)
def test_state_of_symbols_is_written_in_both_forms(
    state: str, missing: bool, loaded: bool, corrupt: bool
) -> None:
    stack = Stack((StackFrame(APP.base, 0, "context", {}),))
    [module] = write(dump_of(), [stack], [[None]], ModuleState(state, "because"))["modules"]
    assert module == {
        "base_addr": "0x00400000",
        "end_addr": "0x00401000",
        "filename": "app.exe",
        "code_id": "45d35f6c1000",
        "debug_file": "app.pdb",
        "debug_id": "5A9832E5287241C1838ED98914E9B7FF1a",
        "version": None,
        "cert_subject": None,
        "missing_symbols": missing,
        "loaded_symbols": loaded,
        "corrupt_symbols": corrupt,
        "symbol_url": None,
        "symbols": state,
        "symbols_reason": "because",
    }


@pytest.mark.parametrize("state", ["loaded", "missing", "unavailable", "corrupt"])
def test_module_without_frames_is_unused_whatever_was_loaded(state: str) -> None:
    [module] = write(dump_of(), state=ModuleState(state, "because"))["modules"]
    assert (module["symbols"], module["symbols_reason"]) == ("unused", None)
    assert not any(module[key] for key in ("missing_symbols", "loaded_symbols", "corrupt_symbols"))


@pytest.mark.parametrize(
    ("debug_id", "written"),
    [("", "0" * 33), ("3B3A1E3F1A", "3B3A1E3F1a"), ("A" * 32 + "BB", "A" * 32 + "bb")],
)
def test_debug_id_has_its_age_in_lower_case(debug_id: str, written: str) -> None:
    [module] = write(dump_of(modules=Modules([APP._replace(debug_id=debug_id)])))["modules"]
    assert module["debug_id"] == written


def test_long_name_of_module_is_cut() -> None:
    dump = dump_of(modules=Modules([APP._replace(code_file="/" + "a" * 10_000)]))
    assert write(dump)["modules"][0]["filename"] == "a" * 512


def test_crashing_thread_has_its_index_and_registers() -> None:
    registers = {"eip": 0x40_0010, "esp": 0x1000, "rip": 1}
    dump = dump_of(
        threads=(DumpThread(7, None, None), DumpThread(8, None, None, "main", 5)), requesting_thread=1
    )
    stack = Stack((StackFrame(0x40_0010, 0, "context", registers), StackFrame(0, None, "scan", {})), True)
    report = write(dump, [Stack(()), stack], [[], [None, None]])
    thread = report["threads"][1]
    assert (thread["thread_id"], thread["thread_name"], thread["last_error_value"], thread["is_cut"]) == (
        8,
        "main",
        "ERROR_ACCESS_DENIED",
        True,
    )
    crashing = report["crashing_thread"]
    assert crashing["threads_index"] == report["crash_info"]["crashing_thread"] == 1
    assert crashing["frames"][0].pop("registers") == {"eip": "0x00400010", "esp": "0x00001000"}
    del crashing["threads_index"]
    assert crashing == thread


def test_crashing_thread_without_frames_is_left_out() -> None:
    report = write(dump_of(requesting_thread=0))
    assert "crashing_thread" not in report
    assert report["crash_info"]["crashing_thread"] == 0


def test_facts_and_warnings_are_passed_on() -> None:
    report = write(
        dump_of(facts={"lsb_release": {"id": "debian"}}, warnings=("a",), process_id=3, uptime_seconds=4)
    )
    assert (report["lsb_release"], report["warnings"]) == ({"id": "debian"}, ["a"])
    assert (report["pid"], report["process_uptime"], report["thread_count"]) == (3, 4, 1)


def test_stack_overflow_has_its_stack_and_the_distance_to_it() -> None:
    analysis = CrashAnalysis(stack_overflow=StackOverflow(0x7FFD_0000_0000, 65536, 72))
    info = write(dump_of("amd64", crash=CrashInfo("SIGSEGV", 1), analysis=analysis))["crash_info"]
    assert info["stack_overflow"] == {
        "stack_address": "0x00007ffd00000000", "stack_size": 65536, "distance": 72,
    }  # fmt: skip


def test_dump_without_a_crash_has_no_reason() -> None:
    info = write(dump_of())["crash_info"]
    assert set(info.values()) == {None}
    assert write(dump_of(crash=CrashInfo("SIGSEGV", 1)))["crash_info"]["crash_inconsistencies"] == []
