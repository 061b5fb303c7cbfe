from __future__ import annotations

import pytest

from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.port import UnwindInfo
from tecken.symbolication.minidump.unwind.win import parse_win
from tests.symbolication.minidump.unwind.machine import APP, BARE, LIB, STACK, trusts, unwind

REGISTERS = {"eip": APP + 0x1010, "esp": STACK, "ebp": STACK + 12, "ebx": 1, "esi": 2, "edi": 3, "eax": 4}


def win(program: str, *, parameters: int = 0, saved: int = 0, local: int = 0, kind: int = 4) -> UnwindInfo:
    has_program = int(kind == 4)
    line = f"STACK WIN {kind} 1000 100 1 2 {parameters:x} {saved:x} {local:x} 0 {has_program} {program}"
    return UnwindInfo(line, (), parameters)


def caller(info: UnwindInfo, words: list[int], registers: Registers = REGISTERS) -> Registers | None:
    """Return the registers of the caller that a record gives, None if it gives none."""
    frames = unwind("x86", registers, words, {APP + 0x1000: info}).frames
    return frames[1].registers if len(frames) > 1 and frames[1].trust == "cfi" else None


def test_frame_data_program_gives_the_registers_that_it_assigns() -> None:
    program = "$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + = $ebx $T0 4 - ^ ="
    found = caller(win(program, saved=4, local=4), [5, 6, LIB + 0x1005, 0])
    # The others are those of the callee.
    assert found == {"eip": LIB + 0x1005, "esp": STACK + 12, "ebp": STACK + 12, "ebx": 6, "esi": 2, "edi": 3}


def test_frame_data_frame_of_the_caller_begins_after_the_parameters_of_the_callee() -> None:
    """The caller of a function pushes its parameters, which are part of the caller's frame."""
    program = "$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + ="
    infos = {APP + 0x1000: win(program, parameters=8), LIB + 0x1000: win(program)}
    stack = unwind("x86", REGISTERS, [LIB + 0x1005, 5, 6, APP + 0x3005, 0], infos)
    assert trusts(stack)[:3] == [
        (APP + 0x1010, "context"),
        (LIB + 0x1004, "cfi"),
        (APP + 0x3004, "cfi"),
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (".cbParams", 8),
        (".cbSavedRegs", 4),
        (".cbLocals", 12),
        (".cbCalleeParams", 0),
        (".raSearchStart", STACK + 16),
    ],
)
def test_frame_data_variables_are_those_of_the_record(variable: str, value: int) -> None:
    program = f"$eip .raSearch ^ = $esp .raSearch 4 + = $ebx {variable} ="
    found = caller(win(program, parameters=8, saved=4, local=12), [0, 0, 0, 0, LIB + 0x1005, 0])
    assert found
    assert found["ebx"] == value


def test_frame_data_program_that_aligns_searches_from_the_frame_pointer() -> None:
    program = "$T1 .raSearch = $T0 $T1 16 @ = $eip $T1 ^ = $esp $T1 4 + ="
    found = caller(win(program), [0, 0, 0, 0, LIB + 0x1005, 0])
    assert found
    assert (found["eip"], found["esp"]) == (LIB + 0x1005, STACK + 20)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7 3 -", 4),
        ("3 7 -", 2**32 - 4),
        ("-1", 2**32 - 1),
        ("-1 2 *", 2**32 - 2),
        ("7 2 /", 3),
        ("7 4 %", 3),
        ("$ebx 5 +", 6),
        (".raSearch ^", LIB + 0x1005),
        ("$eip", LIB + 0x1005),
    ],
)
def test_frame_data_expression_has_value(expression: str, value: int) -> None:
    program = f"$eip .raSearch ^ = $esp .raSearch 4 + = $edi {expression} ="
    found = caller(win(program), [LIB + 0x1005, 0])
    assert found
    assert found["edi"] == value


def test_frame_data_undefined_variable_is_removed() -> None:
    program = "$eip .raSearch ^ = $esp .raSearch 4 + = $ebx 9 = $ebx .undef ="
    found = caller(win(program), [LIB + 0x1005, 0])
    assert found
    # As in rust-minidump, the callee's register is then taken.
    assert found["ebx"] == 1


def test_frame_data_assignment_without_a_space_is_read() -> None:
    found = caller(win("$T0 .raSearch =$eip $T0 ^ =$esp $T0 4 + ="), [LIB + 0x1005, 0])
    assert found
    assert found["eip"] == LIB + 0x1005


@pytest.mark.parametrize(
    "program",
    [
        "=",
        "$eip =",
        "1 2 =",
        ".undef 1 =",
        "$eip $unknown =",
        "$eip 1 0 / =",
        "$eip 1 0 % =",
        "$T0 8 3 @ =",
        "$T0 8 0 @ =",
        "$eip 1 ^ =",
        "$eip .undef ^ =",
        "$eip .undef 1 + =",
        "$eip 99999999999 =",
        "$eip x =",
        "+",
        "^",
        "$T0 1 = " * 1000,
    ],
)
def test_frame_data_program_that_fails_leaves_the_frame_to_the_frame_pointer(program: str) -> None:
    words = [0, 0, 0, STACK + 24, LIB + 0x1005, 0, 0]
    whole = f"$eip {LIB} = $esp $esp 4 + = {program}"
    stack = unwind("x86", REGISTERS, words, {APP + 0x1000: win(whole)})
    assert trusts(stack)[1] == (LIB + 0x1004, "frame_pointer")


def test_frame_data_program_without_address_ends_at_the_callee() -> None:
    # The address is then that of the callee, and the stack pointer does not advance.
    stack = unwind("x86", REGISTERS, [LIB + 0x1005] * 8, {APP + 0x1000: win("$T0 1 =")})
    assert len(stack.frames) == 1


def test_frame_data_program_without_address_keeps_that_of_the_callee() -> None:
    # The stack pointer advances, so minidump-stackwalk walks on in the same function, here until memory ends.
    program = "$T0 .raSearch = $ebx $T0 ^ = $esp $T0 4 + ="
    stack = unwind("x86", REGISTERS, [0, 0, 0], {APP + 0x1000: win(program)})
    assert trusts(stack) == [(APP + 0x1010, "context")] + [(APP + 0x100F, "cfi")] * 3


def test_fpo_caller_without_frame_pointer_keeps_it() -> None:
    found = caller(win("0", kind=0, saved=4, local=8), [0, 0, 0, LIB + 0x1005, 0])
    assert found == {"eip": LIB + 0x1005, "esp": STACK + 16, "ebp": STACK + 12, "ebx": 1, "esi": 2, "edi": 3}


def test_fpo_caller_with_frame_pointer_finds_the_saved_one() -> None:
    found = caller(win("1", kind=0, saved=8, local=8), [77, 1, 0, 0, LIB + 0x1005, 0])
    assert found
    assert (found["eip"], found["esp"], found["ebp"]) == (LIB + 0x1005, STACK + 20, 77)


def test_fpo_used_return_address_on_the_stack_is_skipped() -> None:
    found = caller(win("0", kind=0), [REGISTERS["eip"], LIB + 0x1005, 0])
    assert found
    assert (found["eip"], found["esp"]) == (LIB + 0x1005, STACK + 8)


@pytest.mark.parametrize("words", [[0], [0, 0, 0]])
def test_fpo_return_address_outside_of_the_stack_gives_no_caller(words: list[int]) -> None:
    assert caller(win("0", kind=0, local=12), words) is None
    assert caller(win("1", kind=0, local=4), words) is None


def test_win_record_is_preferred_to_cfi_and_cfi_is_its_fallback() -> None:
    cfi = ("STACK CFI INIT 1000 100 .cfa: $esp 8 + .ra: .cfa -4 + ^",)
    good = win("$eip .raSearch ^ = $esp .raSearch 4 + =")._replace(cfi=cfi)
    words = [LIB + 0x1005, LIB + 0x2005, 0]
    assert trusts(unwind("x86", REGISTERS, words, {APP + 0x1000: good}))[1] == (LIB + 0x1004, "cfi")
    failing = win("=")._replace(cfi=cfi)
    assert trusts(unwind("x86", REGISTERS, words, {APP + 0x1000: failing}))[1] == (LIB + 0x2004, "cfi")


def test_win_registers_that_are_missing_give_no_caller() -> None:
    program = win("$eip .raSearch ^ = $esp .raSearch 4 + =")
    assert caller(program, [LIB + 0x1005, 0], {"eip": APP + 0x1010, "esp": STACK}) is None
    assert caller(win("0", kind=0), [LIB + 0x1005, 0], {"eip": APP + 0x1010, "esp": STACK}) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "STACK WIN",
        "STACK WIN 4 1000 10 0 0 0 0 0 0 1",
        "STACK WIN 4 1000 10 0 0 x 0 0 0 1 $eip",
        "STACK WIN 4 1000 10 0 0 0 0 0 0 0 1",
        "STACK WIN 0 1000 10 0 0 0 0 0 0 1 $eip",
        "STACK WIN 3 1000 10 0 0 0 0 0 0 0 1",
    ],
)
def test_parse_win_record_that_cannot_be_used_is_none(line: str) -> None:
    assert parse_win(line) is None


def test_win_program_is_that_of_the_record() -> None:
    program = parse_win("STACK WIN 4 1000 10 1 2 a b c d 1 $T0 1 =$T1 2 =")
    assert program
    assert program[:3] == (10, 11, 12)
    assert program.words == ("$T0", "1", "=", "$T1", "2", "=")


def test_frame_pointer_x86_caller_is_found() -> None:
    words = [0, 0, 0, STACK + 24, LIB + 0x1005, 0, STACK + 32, BARE + 5, 0, 0]
    stack = unwind("x86", REGISTERS, words)
    assert trusts(stack)[1:] == [(LIB + 0x1004, "frame_pointer"), (BARE + 4, "frame_pointer")]
    assert stack.frames[1].registers == {"eip": LIB + 0x1005, "esp": STACK + 20, "ebp": STACK + 24}


def test_scan_x86_frame_pointer_is_the_saved_or_the_kept_one() -> None:
    registers = {"eip": APP + 0x1010, "esp": STACK, "ebp": 5}
    saved = unwind("x86", registers, [0, STACK + 12, LIB + 0x1005, 0, 0])
    assert saved.frames[1].registers == {"eip": LIB + 0x1005, "esp": STACK + 12, "ebp": STACK + 12}
    kept = unwind("x86", registers | {"ebp": STACK + 20}, [0, LIB + 0x1005, 0, 0, 0, 0], {})
    assert kept.frames[1].registers.get("ebp") == STACK + 20
    lost = unwind("x86", registers | {"ebp": STACK + 2000}, [0, LIB + 0x1005, 0])
    assert "ebp" not in lost.frames[1].registers


@pytest.mark.parametrize("address", [2**32 - 1, 2**32 - 9])
def test_frame_pointer_x86_at_the_end_of_memory_does_not_count(address: int) -> None:
    stack = unwind("x86", REGISTERS | {"ebp": address}, [LIB + 0x1005, 0])
    assert trusts(stack)[1] == (LIB + 0x1004, "scan")
