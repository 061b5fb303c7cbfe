"""Addresses that a program may have meant, if faulty hardware flipped one bit of them.

An address that is not mapped, and becomes a mapped one with one bit changed, can come from a flip. Only
x86-64 is examined: 32 bits have too many mapped addresses, and code of ARM is not disassembled, so that an
offset from null looks like a flip.

Source: `processor.rs` and `process_state.rs` of minidump-processor 0.27.
"""

from __future__ import annotations

from functools import reduce
from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.findings import BitFlip
from tecken.symbolication.minidump.protections import MappedRange, Protections

CANONICAL_BITS: Final = range(48)
OTHER_BITS: Final = range(48, 64)
"""Bits of an address that all have the value of bit 47, unless the address is not canonical."""

_NEARBY: Final = 1 << 12
_LOW: Final = 2 * _NEARBY
# Bytes that allocators fill memory with.
_POISONS: Final = frozenset(b"\x2b\x2d\x2f\x49\x4b\x4d\x4f\x6b\x8b\x9b\x9f\xa5\xbb\xcc\xcd\xce\xdb\xe5")
_FLOAT: Final = Struct("<f")
_BASELINE, _NON_CANONICAL, _NULL, _LOW_NULL = 0.25, 0.9, 0.5, 0.25
# By the number of registers nearby; more than four count as four.
_NEARBY_REGISTERS: Final = (0.5, 0.55, 0.6, 0.65)
_POISON_FACTOR: Final = 0.5


class BitFlipSearch(NamedTuple):
    """What a search depends on.

    `need` is the letter of what the instruction did, as in `MappedRange.allowed`, and "" if that is unknown.
    `access_size` is that of the access that failed, None if it is unknown. `registers` are None if the dump
    does not have them.
    """

    bits: range
    protections: Protections
    registers: Registers | None
    need: str
    access_size: int | None

    def find(self, address: int, register: str | None = None) -> list[BitFlip]:
        """Return the possible flips of an address, which was in a register if one is named."""
        if self._is_usable(address) or self._is_just_outside(address):
            return []
        flips = []
        for bit in self.bits:
            candidate = address ^ 1 << bit
            # A flip to null is the wrong way of a check for null.
            if not candidate:
                flips.append(self._describe(candidate, address, register))
            if self._is_usable(candidate):
                flips.append(self._describe(candidate, address, register))
        return flips

    def _is_usable(self, address: int) -> bool:
        mapping = self.protections.find(address)
        return mapping is not None and self._allows(mapping)

    def _allows(self, mapping: MappedRange) -> bool:
        return self.need in mapping.allowed

    def _is_just_outside(self, address: int) -> bool:
        """Return whether an address is so close to usable memory that the program counted wrongly."""
        if self.access_size is None:
            return False
        distances = (
            mapping.base - address
            if address < mapping.base
            else max(address - (mapping.base + mapping.size - 1), 0)
            for mapping in self.protections.all
            if self._allows(mapping)
        )
        return min(distances, default=self.access_size) < self.access_size

    def _describe(self, candidate: int, address: int, register: str | None) -> BitFlip:
        values = self.registers.values() if self.registers else ()
        nearby = 0
        if candidate > _LOW:
            nearby = sum(abs(candidate - value) <= _NEARBY for value in values)
        was_non_canonical = self.bits == OTHER_BITS
        was_low = not candidate and address <= _LOW
        has_poison = any(map(_is_poison, values))
        parts = [_BASELINE]
        if was_non_canonical:
            parts.append(_NON_CANONICAL)
        if not candidate:
            parts.append(_LOW_NULL if was_low else _NULL)
        if nearby:
            parts.append(_NEARBY_REGISTERS[min(nearby, len(_NEARBY_REGISTERS)) - 1])
        confidence = _combine(parts) * (_POISON_FACTOR if has_poison else 1)
        return BitFlip(
            candidate, register, was_non_canonical, not candidate, was_low, nearby, has_poison, confidence
        )


def _is_poison(value: int) -> bool:
    return value & 0xFF in _POISONS and value == (value & 0xFF) * 0x0101_0101_0101_0101


def _combine(confidences: list[float]) -> float:
    """Return the confidence that at least one of independent signs is right, in single precision."""
    doubts = (_single(1 - _single(value)) for value in confidences)
    return _single(1 - reduce(lambda product, doubt: _single(product * doubt), doubts))


def _single(number: float) -> float:
    value: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    return value
