from __future__ import annotations

import pytest

from tecken.symbolication.minidump.dump import Registers
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

SAVED = ".cfa: sp 16 + .ra: .cfa -8 + ^ x29: .cfa -16 + ^"
SIGNED = 0x00A5 << 48


def test_arm64_cfi_aliases_are_the_same_registers() -> None:
    infos = rules(APP + 0x1000, ".cfa: x29 16 + .ra: x30 x19: x20 x29: .cfa -16 + ^ fp: x29 lr: 7")
    registers = {"pc": APP + 0x1010, "sp": STACK, "fp": STACK, "lr": LIB + 0x1004, "x20": 5, "x21": 6}
    frames = unwind("arm64", registers, [place(8), 0, 0], infos).frames
    assert frames[1].instruction == LIB + 0x1000
    found = frames[1].registers
    assert found == {"pc": LIB + 0x1004, "sp": place(2), "x19": 5, "x20": 5, "x21": 6, "fp": STACK, "lr": 7}


def test_arm64_leaf_has_its_return_address_in_the_link_register() -> None:
    infos = rules(APP + 0x1000, ".cfa: sp 0 + .ra: x30")
    registers = {"pc": APP + 0x1010, "sp": STACK, "fp": 0, "lr": LIB + 0x1004}
    assert trusts(unwind("arm64", registers, [0, 0], infos))[1] == (LIB + 0x1000, "cfi")


def test_arm64_stack_pointer_that_stays_needs_another_address() -> None:
    infos = rules(APP + 0x1000, f".cfa: sp 0 + .ra: {APP + 0x1010}")
    stack = unwind("arm64", {"pc": APP + 0x1010, "sp": STACK}, [0, 0], infos)
    assert len(stack.frames) == 1


def test_arm64_addresses_that_alternate_on_one_stack_pointer_are_cut() -> None:
    infos = rules(APP + 0x1000, f".cfa: sp 0 + .ra: {LIB + 0x1010}")
    infos |= rules(LIB + 0x1000, f".cfa: sp 0 + .ra: {APP + 0x1010}")
    stack = unwind("arm64", {"pc": APP + 0x1010, "sp": STACK}, [0, 0], infos)
    assert (len(stack.frames), stack.is_cut) == (1024, True)


def test_arm64_frame_pointer_caller_has_the_link_register_of_its_record() -> None:
    words = [0, 0, place(4), LIB + 0x1004, place(6), APP + 0x2004, 0, 0]
    stack = unwind("arm64", {"pc": BARE + 0x10, "sp": STACK, "fp": place(2), "lr": 1}, words)
    assert trusts(stack)[1:] == [(LIB + 0x1000, "frame_pointer"), (APP + 0x2000, "frame_pointer")]
    found = stack.frames[1].registers
    assert found == {"pc": LIB + 0x1004, "sp": place(4), "fp": place(4), "lr": APP + 0x2004}


def test_arm64_signatures_of_pointers_are_removed() -> None:
    words = [SIGNED | place(2), SIGNED | (LIB + 0x1004), 0, 0, 0]
    by_frame = unwind("arm64", {"pc": BARE + 0x10, "sp": STACK, "fp": STACK}, words)
    assert by_frame.frames[1].registers == {"pc": LIB + 0x1004, "sp": place(2), "fp": place(2), "lr": 0}
    by_cfi = unwind("arm64", {"pc": APP + 0x1010, "sp": STACK}, words, rules(APP + 0x1000, SAVED))
    assert by_cfi.frames[1].registers == {"pc": LIB + 0x1004, "sp": place(2), "fp": place(2)}


@pytest.mark.parametrize("at_entry", [False, True])
def test_arm64_link_register_of_a_frame_record_counts_at_the_entry_only(*, at_entry: bool) -> None:
    """A function's first instructions have not changed the link register; later ones may."""
    infos = rules(LIB + 0x1000, ".cfa: sp 16 + .ra: x30")
    address = LIB + (0x1004 if at_entry else 0x1024)
    words = [place(2), address, place(6), APP + 0x2004, APP + 0x3004, 0, 0, 0]
    stack = unwind("arm64", {"pc": BARE + 0x10, "sp": STACK, "fp": STACK}, words, infos)
    assert trusts(stack)[2] == (APP + 0x2000, "cfi" if at_entry else "frame_pointer")


def test_arm64_frame_pointer_of_0_leaves_the_frame_to_a_scan() -> None:
    stack = unwind("arm64", {"pc": BARE + 0x10, "sp": STACK, "fp": 0}, [5, LIB + 0x1004, 0])
    assert trusts(stack)[1] == (LIB + 0x1000, "scan")
    assert stack.frames[1].registers == {"pc": LIB + 0x1004, "sp": place(2)}


@pytest.mark.parametrize("address", [0xFFF, 1 << 46])
def test_arm64_frame_pointer_with_an_address_outside_of_modules_is_taken_if_it_may_be_one(
    address: int,
) -> None:
    words = [place(2), address, LIB + 0x1004, 0, 0]
    stack = unwind("arm64", {"pc": BARE + 0x10, "sp": STACK, "fp": STACK}, words)
    assert stack.frames[1].trust == ("scan" if address < 4096 else "frame_pointer")


def arm(words: list[int], os: str = "Linux", **registers: int) -> list[tuple[int, str]]:
    known: Registers = {"pc": APP + 0x1010, "sp": STACK, **registers}
    return trusts(unwind("arm", known, words, rules(APP + 0x1000, ".cfa: r13 8 + .ra: .cfa -4 + ^"), os=os))


def test_arm_cfi_return_address_is_an_instruction_of_two_bytes() -> None:
    assert arm([0, LIB + 0x1004, 0])[1] == (LIB + 0x1002, "cfi")


def test_arm_frame_pointer_counts_on_ios_only() -> None:
    words = [0, 0, STACK + 16, LIB + 0x1004, 0, 0]
    registers = {"pc": BARE + 0x10, "fp": STACK + 8}
    assert arm(words, "iOS", **registers)[1] == (LIB + 0x1002, "frame_pointer")
    assert arm(words, "Linux", **registers)[1] == (LIB + 0x1002, "scan")


def test_arm_frame_pointer_of_0_ends_the_stack_on_ios() -> None:
    words = [LIB + 0x1004, 0]
    assert len(arm(words, "iOS", pc=BARE + 0x10, fp=0)) == 1
    assert len(arm(words, "Linux", pc=BARE + 0x10, fp=0)) == 2


def test_arm_leaf_keeps_the_stack_pointer_in_the_first_frame_only() -> None:
    infos = rules(APP + 0x1000, ".cfa: sp 0 + .ra: lr")
    registers = {"pc": APP + 0x1010, "sp": STACK, "lr": LIB + 0x1004}
    assert trusts(unwind("arm", registers, [0, 0], infos))[1] == (LIB + 0x1002, "cfi")
    infos |= rules(LIB + 0x1000, f".cfa: sp 0 + .ra: {APP + 0x3000}")
    assert len(unwind("arm", registers, [0, 0], infos).frames) == 2


def test_arm_values_of_more_than_32_bits_do_not_count() -> None:
    infos = rules(APP + 0x1000, ".cfa: sp 4 + .ra: .cfa -4 + ^ r4: -1 r5: 1 r6: sp -1 *")
    registers = {"pc": APP + 0x1010, "sp": STACK, "r4": 44, "r5": 55}
    found = unwind("arm", registers, [LIB + 0x1004, 0], infos).frames[1].registers
    assert found == {"pc": LIB + 0x1004, "sp": STACK + 4, "r4": 44, "r5": 1}
    infos = rules(APP + 0x1000, ".cfa: -4 .ra: 5000")
    assert trusts(unwind("arm", registers, [LIB + 0x1004, 0], infos))[1] == (LIB + 0x1002, "scan")
