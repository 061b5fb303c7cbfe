"""Analyses of whole dumps: code and mapped memory from each source that a dump can have."""

from __future__ import annotations

from tecken.symbolication.minidump.dump_bytes import DumpBytes
from tecken.symbolication.minidump.findings import AdjustedAddress
from tecken.symbolication.minidump.linux_files import read_mappings
from tecken.symbolication.minidump.protections import MappedRange
from tecken.symbolication.minidump.read import read_dump
from tests.support.core_files import CoreWriter
from tests.support.minidump_samples import INSTRUCTION, SAMPLES
from tests.support.minidumps import words

STACK = 0x7FFD_0000


def test_dump_of_windows_has_its_mapped_memory_in_the_memory_info_list() -> None:
    found = read_dump(memoryview(SAMPLES["windows_code"]())).analysis

    assert found.instruction == "mov rax, qword [rdi + 0x8]"
    assert found.adjusted == AdjustedAddress("non-canonical", 0x4000_0000_7FFD_0008)
    address, register = found.bit_flips
    assert (address.address, address.register, register.address, register.register) == (
        STACK + 8, None, STACK, "rdi",
    )  # fmt: skip
    assert found.inconsistencies == ()


def test_mappings_of_linux_have_their_ranges_and_what_they_allow() -> None:
    mappings = read_mappings(DumpBytes(memoryview(SAMPLES["linux"]())))

    assert mappings == [
        MappedRange(0x40_0000, 0x1_A000, "rx"),
        MappedRange(0x61_A000, 0x1000, "rw"),
        MappedRange(STACK, 0x2000, "rw"),
        MappedRange(0x7FFF_0000, 0x1000, "rx"),
    ]


def test_core_has_its_mapped_memory_in_its_segments() -> None:
    writer = CoreWriter()
    writer.thread(7, rip=0x40_0100, rsp=STACK, rdi=STACK ^ 1 << 40)
    writer.signal(11, 1, (STACK ^ 1 << 40) + 8)
    writer.memory(0x40_0100, INSTRUCTION)
    writer.memory(STACK, words(8, *range(8)))

    found = read_dump(memoryview(writer.content())).analysis

    assert found.instruction == "mov rax, qword [rdi + 0x8]"
    assert [(flip.address, flip.register) for flip in found.bit_flips] == [(STACK + 8, None), (STACK, "rdi")]
