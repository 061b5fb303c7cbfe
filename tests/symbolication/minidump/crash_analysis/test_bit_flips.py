"""Bit flips. Confidences are those of minidump-stackwalk 0.27 for the same registers and mappings."""

from __future__ import annotations

import pytest

from tecken.symbolication.minidump.crash_analysis.bit_flips import CANONICAL_BITS, OTHER_BITS, BitFlipSearch
from tecken.symbolication.minidump.findings import BitFlip
from tecken.symbolication.minidump.protections import MappedRange, Protections
from tests.symbolication.minidump.crash_analysis.scenes import HEAP, MAPPINGS, STACK, analyze

FLIPPED = HEAP ^ 1 << 40


def find(
    address: int,
    registers: dict[str, int] | None = None,
    bits: range = CANONICAL_BITS,
    need: str = "",
    size: int | None = None,
) -> list[BitFlip]:
    return BitFlipSearch(bits, Protections(MAPPINGS), registers, need, size).find(address)


def test_address_that_one_bit_makes_usable_is_a_possible_flip() -> None:
    assert find(FLIPPED) == [BitFlip(HEAP, None, False, False, False, 0, False, 0.25)]


def test_usable_address_and_one_far_from_any_have_no_flip() -> None:
    assert find(HEAP) == []
    assert find(0x1234_5678_9000) == []


def test_flip_to_null_is_less_likely_for_a_small_number() -> None:
    (high,), (low,) = find(1 << 20), find(16)

    assert (high.address, high.is_null, high.was_low, high.confidence) == (0, True, False, 0.625)
    assert (low.address, low.is_null, low.was_low, low.confidence) == (0, True, True, 0.4375)


@pytest.mark.parametrize(
    ("registers", "nearby", "confidence"),
    [
        ({"rax": HEAP + 0x1000}, 1, 0.625),
        ({"rax": HEAP - 0x1000, "rbx": HEAP}, 2, 0.6624999940395355),
        ({"rax": HEAP, "rbx": HEAP, "rcx": HEAP}, 3, 0.699999988079071),
        ({"rax": HEAP, "rbx": HEAP, "rcx": HEAP, "rdx": HEAP, "rsi": HEAP}, 5, 0.7374999821186066),
        ({"rax": HEAP + 0x1001}, 0, 0.25),
    ],
)
def test_registers_near_the_address_raise_the_confidence(
    registers: dict[str, int], nearby: int, confidence: float
) -> None:
    (flip,) = find(FLIPPED, registers)

    assert flip.nearby_registers == nearby
    assert flip.confidence == pytest.approx(confidence, abs=1e-7)


def test_pattern_of_freed_memory_in_a_register_halves_the_confidence() -> None:
    (flip,) = find(FLIPPED, {"rax": 0xE5E5_E5E5_E5E5_E5E5})

    assert (flip.has_poison, flip.confidence) == (True, 0.125)
    assert not find(FLIPPED, {"rax": 0x1111_1111_1111_1111})[0].has_poison


def test_address_that_is_not_canonical_is_flipped_in_its_upper_bits() -> None:
    (flip,) = find(HEAP ^ 1 << 60, bits=OTHER_BITS)

    assert (flip.address, flip.was_non_canonical) == (HEAP, True)
    assert flip.confidence == pytest.approx(0.925, abs=1e-6)


def test_memory_must_allow_what_the_instruction_did() -> None:
    assert find(FLIPPED, need="w")
    assert find(FLIPPED, need="x") == []


def test_address_right_beside_usable_memory_is_counted_wrongly_and_not_flipped() -> None:
    end = STACK + 0x2000

    assert find(end, size=8) == []
    assert [flip.address for flip in find(end)] == [end ^ 1 << 12, end ^ 1 << 13]


def test_search_without_mappings_finds_null_only() -> None:
    search = BitFlipSearch(CANONICAL_BITS, Protections(), None, "", 8)

    assert [flip.address for flip in search.find(1 << 30)] == [0]


def test_mapping_that_ends_with_the_address_space_is_left_out() -> None:
    mappings = [MappedRange((1 << 64) - 0x1000, 0x1000, "r"), MappedRange(0x1000, 0, "r")]

    assert Protections(mappings).all == ()


def test_registers_of_the_instruction_are_searched_as_well() -> None:
    flips = analyze("488b4708", address=FLIPPED + 8, rdi=FLIPPED).bit_flips

    assert [(flip.address, flip.register) for flip in flips] == [(HEAP + 8, None), (HEAP, "rdi")]


def test_null_pointer_is_no_flip() -> None:
    assert analyze("488b4710", address=16, rdi=0).bit_flips == ()


def test_crash_without_a_known_instruction_has_flips_of_its_address() -> None:
    assert [flip.address for flip in analyze("06", address=FLIPPED).bit_flips] == [HEAP]
