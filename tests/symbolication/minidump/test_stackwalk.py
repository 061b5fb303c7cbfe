from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Any

import pytest

from tests.oracle.minidumps import find_stackwalk, run_stackwalk
from tests.support.minidump_samples import SAMPLES
from tests.support.minidumps import AMD64, ARM, ARM64, IOS, LINUX, MACOS, WINDOWS, X86, DumpWriter
from tests.symbolication.minidump.stackwalk import report_of, unwalked

MEMORY_CODE = 0x0123_4567_89AB_CDEF
SIGNALS = [(signal, code) for signal in (3, 4, 5, 6, 7, 8, 11, 31, 32) for code in (0, 1, 2, 5, 9, 10, 128)]
EXCEPTIONS = [
    *[(LINUX, AMD64, signal, code, ()) for signal, code in SIGNALS],
    *[(LINUX, AMD64, 11, code & 0xFFFF_FFFF, ()) for code in (-1, -2, -3, -4, -5, -6, -7, -8, -60)],
    (LINUX, AMD64, 0xFFFF_FFFF, 0, ()),
    (LINUX, AMD64, 0xFFFF_FFFF, 7, ()),
    *[
        (MACOS, cpu, kind, code, ())
        for cpu in (X86, AMD64, ARM64)
        for kind in (1, 2, 3, 4, 5, 6, 7, 10, 11)
        for code in (0, 1, 2, 5, 8, 9, 10, 13, 17, 50, 0x101, 0x105, 0x1_0002, 0xDEAD_C0DE)
    ],
    (MACOS, AMD64, 0x4350_7378, 0, ()),
    *[
        (IOS, ARM64, kind, number << 29, (0, flavor << shift | MEMORY_CODE & mask, subcode))
        for kind, shift, mask in ((11, 58, (1 << 58) - 1), (12, 32, 0xFFFF_FFFF))
        for number in range(8)
        for flavor in (0, 1, 2, 4, 5, 8)
        for subcode in (0, 0x12345)
    ],
    *[
        (WINDOWS, X86, code, 0, parameters)
        for code in (0xC000_0005, 0xC000_0006, 0xC000_0409)
        for parameters in (
            *((), (0,), (1, 0x45), (8, 0xFFFF_FFFF_8000_0000), (2, 0x45), (0, 1, 0xC000_009C)),
            (0, 1, 0x1_C000_9999),
        )
    ],
    *[
        (WINDOWS, AMD64, code, 0, ())
        for code in (
            *range(0xC000_008B, 0xC000_0098),
            *(0x8000_0001, 0x8000_0002, 0x8000_0004, 0xC000_0008, 0xC000_0025, 0xC000_0026, 0xC000_0194),
            *(0, 2, 0x8000_0003, 0xC000_001D, 0xC000_0094, 0xC000_00FD, 0xE000_0008, 0xE06D_7363),
            *(0xE043_4352, 0x0517_A7ED, 0xC000_000D, 0xC06D_007E, 0xC06D_007F, 0x406D_1388, 0x8000_000D),
            *(0x207, 0x3D3C, 0x4000_003A, 0xC000_04E0, 0xC0EF_0001, 0xC000_042E, 0xC2, 0x1DF),
            *(0xC000_0374, 0x4000_001F, 0xDEAD_BEEF, 0x6BA, 0xC002_0001, 0x4001_000A, 0xC000_0142),
        )
    ],
]

PLATFORMS = (*range(1, 5), 0x8000, 0x8101, 0x8102, *range(0x8201, 0x8206), 0x9999)
PROCESSORS = (*range(11), 12, *range(0x8001, 0x8006), 0xFFFF)
ARM_PARTS = (
    *(0x4100_C050, 0x4100_C080, 0x4100_C090, 0x4100_C0F0, 0x4100_C140, 0x4100_C150, 0x4100_B360, 0x4100_B560),
    *(0x4100_B760, 0x4100_B020, 0x4100_9260, 0x4100_9460, 0x4100_9660, 0x5100_06F0, 0x5100_00F0, 0x5600_0010),
    0x6900_0010,
)


@pytest.fixture
def program() -> str:
    found = find_stackwalk()
    if not found:
        pytest.skip("minidump-stackwalk is not installed")
    return found


def reports(content: bytes, program: str, folder: Path) -> tuple[Any, Any]:
    """Return our report of a dump and that of stackwalk, without what depends on a walk."""
    return unwalked(report_of(content)), unwalked(run_stackwalk(program, content, folder))


@pytest.mark.parametrize("name", SAMPLES)
def test_report_of_sample_equals_that_of_stackwalk_in_all_but_frames(
    name: str, program: str, tmp_path: Path
) -> None:
    ours, theirs = reports(SAMPLES[name](), program, tmp_path)
    assert ours == theirs


def test_reasons_of_crashes_equal_those_of_stackwalk(program: str, tmp_path: Path) -> None:
    different = []
    for system, cpu, code, flags, parameters in EXCEPTIONS:
        writer = DumpWriter(system, cpu)
        writer.exception(1, code, flags, 0xFFFF_FFFF_9000_0001, parameters)
        ours, theirs = reports(writer.content(), program, tmp_path)
        if ours != theirs:
            different.append((ours["crash_info"], theirs["crash_info"]))
    assert different == []


def test_systems_and_processors_are_named_as_by_stackwalk(program: str, tmp_path: Path) -> None:
    dumps = [
        *(DumpWriter(platform) for platform in PLATFORMS),
        *(DumpWriter(LINUX, processor) for processor in PROCESSORS),
        *(DumpWriter(LINUX, ARM, cpu_details=pack("<II", part, 0)) for part in ARM_PARTS),
        *(DumpWriter(LINUX, ARM, cpu_details=pack("<II", 0, 1 << bit)) for bit in range(23)),
    ]
    pairs = [reports(writer.content(), program, tmp_path) for writer in dumps]
    different = [(ours["system_info"], theirs["system_info"]) for ours, theirs in pairs if ours != theirs]
    assert different == []
