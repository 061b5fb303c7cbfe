from __future__ import annotations

from typing import Any

import pytest

from tecken.symbolication.minidump.reported_crash import INCONSISTENCIES, read_crash_lines
from tecken.symbolication.minidump.text import format_minidump

MEMBER: dict[str, Any] = {
    "type": "SIGSEGV / SEGV_MAPERR",
    "address": "0x0000000000000018",
    "instruction": "mov rax, qword [rdi + 0x18]",
    "memory_accesses": [{"address": "0x0000000000000018", "size": 8, "access_type": "read"}],
    "adjusted_address": {"kind": "null-pointer", "offset": "0x0000000000000018"},
    "instruction_pointer_update": None,
    "possible_bit_flips": None,
    "crash_inconsistencies": [],
    "stack_overflow": None,
}


def lines(**changes: object) -> list[tuple[str, str]]:
    return list(read_crash_lines(MEMBER | changes))


def test_member_of_a_null_pointer_has_its_instruction_memory_and_offset() -> None:
    assert lines() == [
        ("Instruction", "mov rax, qword [rdi + 0x18]"),
        ("Memory", "8 bytes at 0x18 read"),
        ("Address", "null pointer with offset 24"),
    ]


def test_text_has_the_lines_after_the_reason() -> None:
    text = format_minidump({"crash_info": MEMBER})

    assert text.splitlines()[2:] == [
        "Crash reason: SIGSEGV / SEGV_MAPERR at 0x0000000000000018",
        "Instruction:  mov rax, qword [rdi + 0x18]",
        "Memory:       8 bytes at 0x18 read",
        "Address:      null pointer with offset 24",
    ]


@pytest.mark.parametrize(
    ("access", "text"),
    [
        ({"address": "0x10", "size": 1, "access_type": "write"}, "1 byte at 0x10 written"),
        ({"address": "0x10", "size": 4, "access_type": "readwrite"}, "4 bytes at 0x10 read and written"),
        ({"address": "0x10", "size": 16}, "16 bytes at 0x10 used"),
        ({"address": "0x10", "size": None}, "at 0x10 used"),
        (
            {"address": "0x10", "size": 8, "access_type": "write", "is_likely_guard_page": True},
            "8 bytes at 0x10 written (a guard page)",
        ),
    ],
)
def test_access_has_its_size_address_and_use(access: dict[str, object], text: str) -> None:
    assert ("Memory", text) in lines(memory_accesses=[access])


@pytest.mark.parametrize(
    ("adjusted", "title", "text"),
    [
        ({"kind": "null-pointer", "offset": "0x0000000000000000"}, "Address", "null pointer"),
        (
            {"kind": "non-canonical", "address": "0x4141414141414149"},
            "Real address",
            "0x4141414141414149, which no program can use (not canonical)",
        ),
    ],
)
def test_adjusted_address_has_its_meaning(adjusted: dict[str, str], title: str, text: str) -> None:
    assert (title, text) in lines(adjusted_address=adjusted)


def test_stack_overflow_has_its_distance_and_the_size_of_the_stack() -> None:
    overflow = {"stack_address": "0x00007f0000001000", "stack_size": 8 << 20, "distance": 4104}

    assert ("Overflow", "4,104 bytes below the stack, which has 8,192 KiB") in lines(stack_overflow=overflow)


def test_likely_bit_flips_are_shown_and_the_most_likely_first() -> None:
    flips = [
        {"address": "0x0000000000000000", "source_register": None, "confidence": 0.4375},
        {"address": "0x0000000000001000", "source_register": None, "confidence": 0.625},
        {"address": "0x00007f0012345000", "source_register": None, "confidence": 0.925},
        {"address": "0x00007f0012345000", "source_register": "rdi", "confidence": 0.925},
    ]

    assert lines(possible_bit_flips=flips)[3:] == [
        ("Bit flip", "0x7f0012345000 may be the right value of rdi (confidence 92%)"),
        ("Bit flip", "0x1000 may be the right address (confidence 62%)"),
    ]


def test_inconsistencies_are_described_and_unknown_ones_named() -> None:
    names = ["access_violation_when_access_allowed", "new_in_a_later_version"]

    assert lines(crash_inconsistencies=names)[3:] == [
        ("Inconsistent", INCONSISTENCIES[names[0]]),
        ("Inconsistent", "new_in_a_later_version"),
    ]


@pytest.mark.parametrize("value", [None, 5, "x", [], [5], {}, [{}], [[]], {"kind": "x"}, True])
def test_values_of_any_type_are_left_out(value: object) -> None:
    crash = dict.fromkeys(MEMBER, value) | {"instruction": None, "crash_inconsistencies": None}

    assert list(read_crash_lines(crash)) == []


def test_lists_have_a_bound() -> None:
    many = [{"address": f"0x{number:x}", "confidence": 0.9} for number in range(1, 51)]

    found = lines(memory_accesses=many, possible_bit_flips=many, crash_inconsistencies=["x"] * 50)

    assert len(found) == 9
