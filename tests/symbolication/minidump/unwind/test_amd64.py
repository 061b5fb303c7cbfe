from __future__ import annotations

import pytest

from tests.symbolication.minidump.unwind.machine import (
    APP,
    BARE,
    LIB,
    STACK,
    place,
    rules,
    trusts,
    unwind,
)

PUSHED = ".cfa: $rsp 16 + .ra: .cfa -8 + ^ $rbx: .cfa -16 + ^"


def test_cfi_caller_has_its_registers_and_those_that_the_callee_keeps() -> None:
    registers = {"rip": APP + 0x1010, "rsp": STACK, "rbx": 1, "rbp": 2, "r12": 3, "rax": 4}
    stack = unwind("amd64", registers, [77, LIB + 0x1005, 0], rules(APP + 0x1000, PUSHED))
    first, second = stack.frames
    assert (first.instruction, first.module, first.trust) == (APP + 0x1010, 0, "context")
    assert first.registers == registers
    assert (second.instruction, second.module, second.trust) == (LIB + 0x1004, 1, "cfi")
    assert second.registers == {"rip": LIB + 0x1005, "rsp": place(2), "rbx": 77, "rbp": 2, "r12": 3}


def test_cfi_change_replaces_the_rules_of_the_registers_that_it_names() -> None:
    infos = rules(APP + 0x1000, ".cfa: $rsp 8 + .ra: .cfa -8 + ^ $rbx: 5", ".cfa: $rsp 16 + $rbx: 6")
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [0, LIB + 0x1005, 0], infos)
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": place(2), "rbx": 6}


def test_cfi_register_that_cannot_be_computed_is_unknown() -> None:
    infos = rules(APP + 0x1000, ".cfa: $rsp 8 + .ra: .cfa -8 + ^ $rbx: .undef $rbp: $xyz $r12: 1 ^ $q: 1")
    registers = {"rip": APP + 0x1010, "rsp": STACK, "rbx": 1, "rbp": 2, "r12": 3, "r13": 4}
    stack = unwind("amd64", registers, [LIB + 0x1005, 0], infos)
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": place(1), "r13": 4}


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "x",
        ".cfa:",
        ".cfa: $rsp 8 +",
        ".ra: .cfa ^",
        ".cfa: .cfa 8 + .ra: .cfa -8 + ^",
        ".cfa: .ra: 1",
        ".cfa: $rsp 8 + .ra: .cfa -8 + ^ $rbx:",
        ".cfa: $rsp 0 / .ra: .cfa -8 + ^",
        ".cfa: $rsp 0 % .ra: .cfa -8 + ^",
        ".cfa: $rsp 3 @ .ra: .cfa -8 + ^",
        ".cfa: + .ra: 1",
        ".cfa: 1 + .ra: 1",
        ".cfa: ^ .ra: 1",
        ".cfa: 1 2 .ra: 1",
        ".cfa: $rsp 9223372036854775808 + .ra: .cfa -8 + ^",
        ".cfa: $rsp 1_0 + .ra: .cfa -8 + ^",
        ".cfa: $rsp 8 + .ra: 16 ^",
        ".cfa: $rsp 8 + .ra: .cfa -8 + ^ $rbx: " + "1 " * 3000,
    ],
)
def test_cfi_rules_that_cannot_be_used_leave_the_frame_to_a_scan(broken: str) -> None:
    infos = rules(APP + 0x1000, broken)
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [LIB + 0x1005], infos)
    assert trusts(stack) == [(APP + 0x1010, "context"), (LIB + 0x1004, "scan")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$rsp 8 *", STACK * 8),
        ("100 7 /", 14),
        ("100 7 %", 2),
        ("100 16 @", 96),
        ("1 2 -", (1 << 64) - 1),
        ("-1", (1 << 64) - 1),
        ("-1 1 +", 0),
        ("9223372036854775807 2 *", (1 << 64) - 2),
        ("+7", 7),
        ("rsp", STACK),
        (".cfa", STACK + 8),
        ("$rsp ^ 1 +", LIB + 0x1006),
        ("1 2 3 + *", 5),
    ],
)
def test_cfi_expression_has_value(expression: str, value: int) -> None:
    infos = rules(APP + 0x1000, f".cfa: $rsp 8 + .ra: .cfa -8 + ^ $r15: {expression}")
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [LIB + 0x1005], infos)
    assert stack.frames[1].registers["r15"] == value


def test_frame_pointer_caller_is_found_without_symbols() -> None:
    words = [0, place(4), LIB + 0x1005, 0, place(6), APP + 0x1005, 0, 0, 0]
    stack = unwind("amd64", {"rip": BARE + 0x10, "rsp": STACK, "rbp": place(1)}, words)
    assert trusts(stack) == [
        (BARE + 0x10, "context"),
        (LIB + 0x1004, "frame_pointer"),
        (APP + 0x1004, "frame_pointer"),
    ]
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": place(3), "rbp": place(4)}


@pytest.mark.parametrize(
    ("saved", "address"),
    [(place(0), LIB + 0x1005), (place(9), LIB + 0x1005), (place(4), 1 << 47), (1, LIB + 0x1005)],
)
def test_frame_pointer_that_is_unlikely_does_not_count(saved: int, address: int) -> None:
    words = [0, saved, address, BARE + 0x50, 0]
    stack = unwind("amd64", {"rip": BARE + 0x10, "rsp": STACK, "rbp": place(1)}, words)
    assert {frame.trust for frame in stack.frames[1:]} == {"scan"}


def test_frame_pointer_of_windows_may_point_into_the_frame() -> None:
    words = [0, 1, 2, 3, 4, place(9), LIB + 0x1005, 0, 0, 0, 0]
    registers = {"rip": BARE + 0x10, "rsp": STACK, "rbp": place(1)}
    stack = unwind("amd64", registers, words, os="Windows NT")
    assert trusts(stack)[1] == (LIB + 0x1004, "frame_pointer")
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": place(7), "rbp": place(9)}
    assert trusts(unwind("amd64", registers, words))[1] == (LIB + 0x1004, "scan")


def test_scan_skips_words_outside_of_functions() -> None:
    words = [5, LIB + 0x9000, STACK, LIB + 0x1005, 0]
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, words)
    assert trusts(stack) == [(APP + 0x1010, "context"), (LIB + 0x1004, "scan")]
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": place(4)}


def test_scan_call_at_the_end_of_a_function_is_found() -> None:
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [APP + 0x8000])
    assert trusts(stack)[1:] == [(APP + 0x7FFF, "scan")]


def test_scan_word_in_a_module_without_symbols_counts() -> None:
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [BARE + 1, LIB + 0x1005])
    assert trusts(stack)[1:] == [(BARE, "scan"), (LIB + 0x1004, "scan")]


def test_scan_is_longer_after_a_certain_frame() -> None:
    words = [0] * 159 + [LIB + 0x1005] + [0] * 40 + [LIB + 0x2005]
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, words)
    assert trusts(stack)[1:] == [(LIB + 0x1004, "scan")]
    words = [0] * 160 + [LIB + 0x1005]
    assert len(unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, words).frames) == 1


def test_scan_frame_pointer_is_the_saved_or_the_kept_one() -> None:
    registers = {"rip": APP + 0x1010, "rsp": STACK, "rbp": place(1)}
    saved = unwind("amd64", registers, [0, place(3), LIB + 0x1005, 0], rules(APP + 0x1000, "x"))
    assert saved.frames[1].registers["rbp"] == place(3)
    kept = unwind("amd64", registers | {"rbp": place(50)}, [0, LIB + 0x1005, 0], rules(APP + 0x1000, "x"))
    assert kept.frames[1].registers["rbp"] == place(50)
    lost = unwind("amd64", registers | {"rbp": 7}, [0, LIB + 0x1005, 0])
    assert "rbp" not in lost.frames[1].registers


@pytest.mark.parametrize("address", [0, 4095])
def test_walk_ends_at_an_address_of_the_first_page(address: int) -> None:
    infos = rules(APP + 0x1000, PUSHED)
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [0, address, LIB + 0x1005, 0], infos)
    assert len(stack.frames) == 1


@pytest.mark.parametrize("cfa", ["$rsp", "$rsp -8 +", "0"])
def test_walk_ends_where_the_stack_pointer_does_not_advance(cfa: str) -> None:
    infos = rules(APP + 0x1000, f".cfa: {cfa} .ra: {LIB + 0x1005}")
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [LIB + 0x1005], infos)
    assert len(stack.frames) == 1
    assert not stack.is_cut


def test_walk_continues_outside_of_modules() -> None:
    infos = rules(APP + 0x1000, PUSHED)
    words = [place(3), 0x9999_0005, 0, place(5), LIB + 0x1005, 0, 0]
    registers = {"rip": APP + 0x1010, "rsp": STACK, "rbp": place(3)}
    stack = unwind("amd64", registers, words, infos)
    assert trusts(stack)[1:] == [(0x9999_0004, "cfi"), (LIB + 0x1004, "frame_pointer")]
    assert stack.frames[1].module is None
