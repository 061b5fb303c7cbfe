"""Adjusted addresses, guard pages and inconsistencies of a crash."""

from __future__ import annotations

import sys

import pytest

from tecken.symbolication.minidump.crash_analysis import analyze_crash, load_disassembler
from tecken.symbolication.minidump.dump import CrashInfo
from tecken.symbolication.minidump.findings import AdjustedAddress, CrashAnalysis
from tests.symbolication.minidump.crash_analysis.scenes import CODE, HEAP, STACK, analyze, scene

READ, WRITE, EXEC = (f"EXCEPTION_ACCESS_VIOLATION_{kind}" for kind in ("READ", "WRITE", "EXEC"))
NOWHERE = 0x5000_0000_0000
NON_CANONICAL = 0x4141_4141_4141_4141
ALL_ONES = (1 << 64) - 1


def inconsistencies(code: str, reason: str, address: int = 0, **registers: int) -> tuple[str, ...]:
    return analyze(code, reason, address, os="Windows NT", **registers).inconsistencies


# Adjusted addresses


@pytest.mark.parametrize("offset", [0, 0x18])
def test_address_at_a_null_pointer_is_an_offset(offset: int) -> None:
    assert analyze(f"488b47{offset:02x}", address=offset, rdi=0).adjusted == AdjustedAddress(
        "null-pointer", offset
    )


def test_call_of_null_is_a_null_pointer() -> None:
    assert analyze("ffd0", rax=0).adjusted == AdjustedAddress("null-pointer", 0)


@pytest.mark.parametrize(
    ("os", "reason", "address"),
    [
        ("Linux", "SIGSEGV / SI_KERNEL", 0),
        ("Linux", "SIGBUS / SI_KERNEL", 0),
        ("Mac OS X", "EXC_BAD_ACCESS / EXC_I386_GPFLT", 0),
        ("Windows NT", READ, ALL_ONES),
    ],
)
def test_address_that_is_not_canonical_is_found_in_the_instruction(
    os: str, reason: str, address: int
) -> None:
    found = analyze("488b4708", reason, address, os=os, rdi=NON_CANONICAL)

    assert found.adjusted == AdjustedAddress("non-canonical", NON_CANONICAL + 8)


@pytest.mark.parametrize(
    ("os", "reason", "address"),
    [
        ("Linux", "SIGSEGV / SEGV_MAPERR", 0),
        ("Linux", "SIGSEGV / SI_KERNEL", 8),
        ("Android", "SIGSEGV / SI_KERNEL", 0),
        ("Windows NT", WRITE, ALL_ONES),
        ("Windows NT", READ, 0),
    ],
)
def test_other_reports_have_the_right_address(os: str, reason: str, address: int) -> None:
    assert analyze("488b4708", reason, address, os=os, rdi=NON_CANONICAL).adjusted is None


def test_return_to_an_address_that_is_not_canonical_is_found() -> None:
    place = scene("c3")
    assert place.stack
    stack = place.stack._replace(content=memoryview(NON_CANONICAL.to_bytes(8, "little")))

    found = analyze_crash(CrashInfo("SIGSEGV / SI_KERNEL", 0), place._replace(stack=stack))

    assert found.adjusted == AdjustedAddress("non-canonical", NON_CANONICAL)
    assert found.target == NON_CANONICAL


@pytest.mark.parametrize("address", [0x7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000])
def test_canonical_addresses_are_not_adjusted(address: int) -> None:
    assert analyze("488b07", "SIGSEGV / SI_KERNEL", rdi=address).adjusted is None


# Guard pages


def test_access_to_an_unusable_page_beside_the_stack_is_to_a_guard_page() -> None:
    accesses = analyze("50", address=STACK - 8).accesses

    assert accesses
    assert accesses[0].is_guard_page


def test_access_to_the_stack_itself_is_not_to_a_guard_page() -> None:
    accesses = analyze("58").accesses

    assert accesses
    assert not accesses[0].is_guard_page


# Inconsistencies


@pytest.mark.parametrize(
    "reason", ["SIGFPE / FPE_INTDIV", "EXC_ARITHMETIC / EXC_I386_DIV", "EXCEPTION_INT_DIVIDE_BY_ZERO"]
)
def test_division_by_zero_needs_a_division(reason: str) -> None:
    assert inconsistencies("90", reason) == ("int_div_by_zero_not_possible",)
    assert inconsistencies("f7f9", reason) == inconsistencies("f7f1", reason) == ()


def test_privileged_crash_needs_a_privileged_instruction() -> None:
    name = "priv_instruction_crash_without_priv_instruction"

    assert inconsistencies("90", "EXCEPTION_PRIV_INSTRUCTION") == (name,)
    assert inconsistencies("f4", "EXCEPTION_PRIV_INSTRUCTION") == ()
    assert inconsistencies("ec", "EXCEPTION_PRIV_INSTRUCTION") == ()


@pytest.mark.parametrize(
    ("code", "reason", "address", "is_missing"),
    [
        ("488b07", READ, NOWHERE, False),
        ("488b07", READ, NOWHERE + 7, False),
        ("488b07", READ, NOWHERE + 8, True),
        ("488b07", WRITE, NOWHERE, True),
        ("488907", WRITE, NOWHERE, False),
        ("480107", WRITE, NOWHERE, False),
        ("480107", READ, NOWHERE, False),
        # Which operands these read and write is not told.
        ("480fb607", READ, 1, False),
        ("488b07", EXEC, CODE, False),
        ("488b07", EXEC, NOWHERE, True),
        ("4889c8", "EXCEPTION_STACK_OVERFLOW", NOWHERE, True),
        ("50", "EXCEPTION_STACK_OVERFLOW", NOWHERE, False),
    ],
)
def test_access_that_is_reported_must_be_one_of_the_instruction(
    code: str, reason: str, address: int, is_missing: bool
) -> None:
    found = inconsistencies(code, reason, address, rdi=NOWHERE)

    assert ("crashing_access_not_found_in_memory_accesses" in found) is is_missing


def test_access_that_the_mapping_allows_is_no_violation() -> None:
    name = "access_violation_when_access_allowed"

    assert inconsistencies("488b07", READ, HEAP, rdi=HEAP) == (name,)
    assert inconsistencies("06", READ, HEAP) == (name,)
    assert inconsistencies("488907", WRITE, CODE, rdi=CODE) == ()


@pytest.mark.parametrize(
    ("code", "is_false"),
    [
        ("488b07", True),
        # Its address need not be aligned only if it is MOVUPS.
        ("0f2807", False),
        ("0f1007", True),
        # A jump whose target is unknown.
        ("ff26", False),
        ("480fb607", False),
    ],
)
def test_protection_fault_needs_an_address_that_is_not_canonical(code: str, is_false: bool) -> None:
    found = inconsistencies(code, READ, ALL_ONES, rdi=NOWHERE, rsi=NOWHERE)

    assert found == (("non_canonical_address_falsely_reported",) if is_false else ())
    assert inconsistencies(code, READ, ALL_ONES, rdi=NON_CANONICAL, rsi=NON_CANONICAL) == ()


# Dumps that lack something


def test_dump_without_registers_or_code_has_no_instruction() -> None:
    crash = CrashInfo("SIGFPE / FPE_INTDIV", NOWHERE)

    assert analyze_crash(crash, scene("90")._replace(registers=None)) == CrashAnalysis()
    assert analyze("90", "SIGFPE / FPE_INTDIV", rip=NOWHERE) == CrashAnalysis()


def test_site_without_the_library_has_no_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in list(sys.modules):
        if module.startswith(("iced_x86", "tecken.symbolication.minidump.crash_analysis.")):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "iced_x86", None)
    load_disassembler.cache_clear()
    try:
        found = analyze("488b4708", READ, HEAP, "Windows NT", rdi=HEAP)
    finally:
        load_disassembler.cache_clear()

    assert found == CrashAnalysis(inconsistencies=("access_violation_when_access_allowed",))


@pytest.mark.parametrize("cpu", ["x86", "arm", "arm64", "ppc64"])
def test_other_processors_are_not_disassembled(cpu: str) -> None:
    found = analyze_crash(CrashInfo(READ, HEAP), scene("90", None, "Windows NT", cpu))

    assert found == CrashAnalysis(inconsistencies=("access_violation_when_access_allowed",))
