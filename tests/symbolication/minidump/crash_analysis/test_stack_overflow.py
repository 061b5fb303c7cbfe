"""Stack overflow: an access close to the stack pointer, in the unusable memory below a stack."""

from __future__ import annotations

import pytest

from tecken.symbolication.minidump.crash_analysis.stack_overflow import find_stack_overflow
from tecken.symbolication.minidump.dump import CrashInfo
from tecken.symbolication.minidump.findings import StackOverflow
from tecken.symbolication.minidump.protections import MappedRange, Protections
from tecken.symbolication.minidump.read import read_dump
from tests.oracle import minidumps
from tests.support.core_files import CoreWriter
from tests.support.minidumps import words

BASE, SIZE = 0x7FFD_0000_0000, 8 << 20
STACK = MappedRange(BASE, SIZE, "rw")
GUARD = MappedRange(BASE - 0x1000, 0x1000, "")
HEAP = MappedRange(BASE - 0x80_0000, 0x10_0000, "rw")
MAPERR = "SIGSEGV / SEGV_MAPERR"


def find(
    address: int, pointer: int, *mappings: MappedRange, reason: str = MAPERR, register: str = "rsp"
) -> StackOverflow | None:
    protections = Protections(mappings or (HEAP, STACK))
    return find_stack_overflow(CrashInfo(reason, BASE + address), {register: BASE + pointer}, protections)


@pytest.mark.parametrize(
    ("address", "pointer"),
    [
        # A call or a push at the end of the stack, a probe below it, and large frames that begin below it.
        (-8, 0),
        (-0x1000, 0x40),
        (-64 << 10, 0),
        (-8, -0x1000),
        (-0x2000, -0x9000),
        (-1 << 20, -1 << 20),
    ],
)
def test_access_below_the_stack_near_its_pointer_is_an_overflow(address: int, pointer: int) -> None:
    assert find(address, pointer) == StackOverflow(BASE, SIZE, -address)


def test_access_to_the_guard_of_a_stack_is_an_overflow() -> None:
    assert find(-8, 0x10, HEAP, GUARD, STACK, reason="SIGSEGV / SEGV_ACCERR") == StackOverflow(BASE, SIZE, 8)


@pytest.mark.parametrize("register", ["rsp", "esp", "sp"])
@pytest.mark.parametrize(
    "reason",
    ["SIGSEGV", "SIGBUS / BUS_ADRERR", "EXC_BAD_ACCESS / 0x2", "EXCEPTION_ACCESS_VIOLATION_WRITE"],
)
def test_overflow_is_found_on_each_system_and_processor(reason: str, register: str) -> None:
    assert find(-8, 0, reason=reason, register=register) == StackOverflow(BASE, SIZE, 8)


@pytest.mark.parametrize(
    ("address", "pointer"),
    [
        # In the stack, above it, and null.
        (0, 0),
        (SIZE, 0x100),
        (-BASE, 0x100),
        # Too far from the pointer, or from the stack.
        (-0x1_0001, 0),
        (-0x2000, 0x10_0000),
        ((-1 << 20) - 1, -1 << 20),
        (-8, (-1 << 20) - 1),
        # The pointer is in the heap.
        (-8, HEAP.base - BASE),
    ],
)
def test_access_elsewhere_is_no_overflow(address: int, pointer: int) -> None:
    assert find(address, pointer) is None


@pytest.mark.parametrize(
    "mapping", [MappedRange(BASE, SIZE, "rx"), MappedRange(BASE, 0x3000, "rw"), MappedRange(BASE, SIZE, "")]
)
def test_memory_that_is_no_stack_has_no_overflow(mapping: MappedRange) -> None:
    assert find(-8, 0, mapping) is None


@pytest.mark.parametrize("reason", ["SIGABRT / SI_TKILL", "SIGFPE", "EXCEPTION_STACK_OVERFLOW"])
def test_other_reasons_have_no_overflow(reason: str) -> None:
    assert find(-8, 0, reason=reason) is None


def test_dump_without_mapped_memory_has_no_overflow() -> None:
    crash = CrashInfo(MAPERR, BASE - 8)
    assert find_stack_overflow(crash, {"rsp": BASE}, Protections()) is None
    assert find_stack_overflow(crash, {}, Protections([STACK])) is None
    assert find_stack_overflow(crash, None, Protections([STACK])) is None


@pytest.mark.parametrize("name", minidumps.DUMPS)
def test_overflow_is_found_in_the_dumps_that_have_one(name: str) -> None:
    found = read_dump(memoryview(minidumps.read_dump(name))).analysis.stack_overflow

    # Those of ARM were made by an emulator, which reports another address, and no mapped memory.
    expected = {"amd64-overflow": (64 << 10, 72), "x86-overflow": (64 << 10, 36)}
    assert (found and (found.size, found.distance)) == expected.get(name)


def test_overflow_is_found_in_a_core_file() -> None:
    writer = CoreWriter()
    writer.thread(7, rip=0x40_0100, rsp=BASE)
    writer.signal(11, 1, BASE - 8)
    writer.memory(BASE, words(8, *range(4096)))

    found = read_dump(memoryview(writer.content())).analysis

    assert found.stack_overflow == StackOverflow(BASE, 8 * 4096, 8)
