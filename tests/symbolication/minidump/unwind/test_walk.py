from __future__ import annotations

import pytest

from tecken.symbolication.minidump.dump import DumpThread, MemoryRegion
from tecken.symbolication.minidump.port import ModulePlace
from tecken.symbolication.minidump.stack import Stack
from tecken.symbolication.minidump.unwind import answers, thread, walk
from tests.symbolication.minidump.unwind.machine import (
    APP,
    BARE,
    LIB,
    STACK,
    MemorySymbols,
    make_dump,
    make_thread,
    rules,
    trusts,
    unwind,
)

RULES = rules(APP + 0x1000, ".cfa: $rsp 8 + .ra: .cfa -8 + ^")
REGISTERS = {"rip": APP + 0x1010, "rsp": STACK}


def test_walk_threads_share_calls_and_places() -> None:
    symbols = MemorySymbols(RULES)
    threads = [make_thread(8, REGISTERS, [APP + 0x1020, APP + 0x1030, LIB + 0x2000, 0], i) for i in range(3)]
    stacks = walk(make_dump("amd64", *threads), symbols)
    assert [len(stack.frames) for stack in stacks] == [4, 4, 4]
    assert symbols.calls == [
        ("unwind_info", [ModulePlace(0, 0x1010)]),
        ("unwind_info", [ModulePlace(0, 0x101F)]),
        ("unwind_info", [ModulePlace(0, 0x102F)]),
        ("unwind_info", [ModulePlace(1, 0x1FFF)]),
    ]


def test_walk_threads_at_different_places_share_calls() -> None:
    symbols = MemorySymbols(RULES)
    one = make_thread(8, REGISTERS, [APP + 0x1020, 0])
    other = make_thread(8, {"rip": LIB + 0x1010, "rsp": STACK}, [LIB + 0x1020, LIB + 0x9000, LIB + 0x1030])
    walk(make_dump("amd64", one, other), symbols)
    assert symbols.calls[0] == ("unwind_info", [ModulePlace(0, 0x1010), ModulePlace(1, 0x1010)])
    assert symbols.calls[1] == ("unwind_info", [ModulePlace(0, 0x101F)])
    # All words of a scan are in one call.
    assert symbols.calls[2] == (
        "are_functions",
        [ModulePlace(1, 0x101F), ModulePlace(1, 0x8FFF), ModulePlace(1, 0x102F)],
    )


def test_walk_prepares_modules_of_registers_and_then_the_most_frequent() -> None:
    symbols = MemorySymbols()
    registers = {"rip": BARE + 0x10, "rsp": STACK}
    walk(make_dump("amd64", make_thread(8, registers, [APP + 1, LIB + 1, LIB + 2, 5])), symbols)
    assert symbols.prepared == [2, 1, 0]


def test_walk_thread_without_registers_has_no_frames() -> None:
    assert walk(make_dump("amd64", make_thread(8, None, [0])), MemorySymbols()) == [Stack(())]


@pytest.mark.parametrize(
    "stack", [None, MemoryRegion(STACK, memoryview(b"")), MemoryRegion(-1 % 2**64, memoryview(b"ab"))]
)
def test_walk_thread_without_stack_has_the_frame_of_its_registers(stack: MemoryRegion | None) -> None:
    (found,) = walk(make_dump("amd64", DumpThread(1, REGISTERS, stack)), MemorySymbols(RULES))
    assert trusts(found) == [(APP + 0x1010, "context")]


def test_walk_unknown_processor_has_no_frames() -> None:
    assert walk(make_dump("ppc", make_thread(4, REGISTERS, [0])), MemorySymbols()) == [Stack(())]


def test_walk_empty_dump_has_no_stacks() -> None:
    assert walk(make_dump("amd64"), MemorySymbols()) == []


def test_walk_registers_without_names_of_the_processor_give_one_frame() -> None:
    stack = unwind("amd64", {"zzz": 1}, [APP + 0x1020])
    assert trusts(stack) == [(0, "context")]


def test_walk_deep_stack_is_cut() -> None:
    stack = unwind("amd64", REGISTERS, [APP + 0x1020] * 5000, RULES)
    assert (len(stack.frames), stack.is_cut) == (1024, True)
    stack = unwind("amd64", REGISTERS, [APP + 0x1020] * 7, RULES, max_frames=8)
    assert (len(stack.frames), stack.is_cut) == (8, False)


def test_walk_all_stacks_together_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "MAX_ALL_FRAMES", 10)
    threads = [make_thread(8, REGISTERS, [APP + 0x1020] * 20) for _ in range(3)]
    stacks = walk(make_dump("amd64", *threads), MemorySymbols(RULES))
    assert sum(len(stack.frames) for stack in stacks) == 13
    assert [stack.is_cut for stack in stacks] == [True, True, True]


def test_walk_scans_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_SCANNED", 2)
    words = [APP + 0x9000, APP + 0x9001, APP + 0x1020, APP + 0x1030]
    stack = unwind("amd64", REGISTERS, words)
    assert (len(stack.frames), stack.is_cut) == (2, True)
