from __future__ import annotations

import random
import re
from struct import pack, pack_into

import pytest

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump import Minidump
from tecken.symbolication.minidump.dump_bytes import MAX_ALL_TEXT_BYTES
from tecken.symbolication.minidump.read import read_minidump
from tecken.symbolication.minidump.signature import NOT_A_DUMP
from tests.support.broken_files import mutate
from tests.support.minidump_samples import SAMPLES
from tests.support.minidumps import (
    BREAKPAD,
    CRASHPAD,
    HANDLES,
    HEADER_BYTES,
    LINUX,
    MAC_CRASH_INFO,
    MAPS,
    MEMORY,
    MEMORY64,
    MISC,
    MODULES,
    SOFT_ERRORS,
    SYSTEM,
    THREADS,
    UNLOADED,
    WINDOWS,
    DumpWriter,
    amd64_context,
    elf_record,
    words,
)
from tests.symbolication.minidump.stackwalk import report_of

HUGE = 0xFFFF_FFFF
MUTANTS = 2000


def read(content: bytes) -> Minidump:
    return read_minidump(memoryview(content))


def with_stream(kind: int, content: bytes) -> bytes:
    dump = DumpWriter()
    dump.stream(kind, content)
    return dump.content()


def test_read_minidump_gives_its_parts() -> None:
    dump = read(SAMPLES["linux"]())
    assert (dump.system.os, dump.system.cpu, dump.process_id, dump.requesting_thread) == (
        "Linux",
        "amd64",
        4321,
        0,
    )
    assert [thread.id for thread in dump.threads] == [11, 12, 13, 14]
    assert dump.modules.all[0].code_file == "/bin/crash"
    assert dump.warnings == ()


def test_read_minidump_takes_any_kind_of_memory() -> None:
    content = SAMPLES["windows"]()
    assert read_minidump(memoryview(bytearray(content))).threads == read(content).threads


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "does not begin with MDMP"),
        (b"a text", "does not begin with MDMP"),
        (b"MDMP", "too short"),
        (b"\x7fELF".ljust(100, b"\0"), "does not begin with MDMP"),
        (b"PMDM".ljust(100, b"\0"), "big-endian"),
        (pack("<4sIIIIIQ", b"MDMP", 0xA792, 0, 32, 0, 0, 0), "version 0xa792"),
        (pack("<4sIIIIIQ", b"MDMP", 0xA793, 5000, 32, 0, 0, 0), "5000 streams"),
        (pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, 32, 0, 0, 0), "past the end"),
        (pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, HUGE, 0, 0, 0), "past the end"),
        (pack("<4sIIIIIQ", b"MDMP", 0xA793, 0, 32, 0, 0, 0), "no system info"),
    ],
)
def test_read_minidump_refuses_what_is_none_with_the_cause(content: bytes, cause: str) -> None:
    with pytest.raises(Malformed, match=cause):
        read(content)


@pytest.mark.parametrize(
    ("kind", "content", "cause"),
    [
        (SYSTEM, b"short", "is cut"),
        (THREADS, pack("<I", HUGE), "is longer than its 4 bytes"),
        (THREADS, b"\1", "is cut"),
    ],
)
def test_read_minidump_refuses_dump_whose_system_or_threads_are_broken(
    kind: int, content: bytes, cause: str
) -> None:
    dump = DumpWriter()
    dump.thread(1)
    broken = bytearray(dump.content())
    count, directory = (int.from_bytes(broken[start : start + 4], "little") for start in (8, 12))
    place = len(broken)
    broken += content
    for entry in range(directory, directory + 12 * count, 12):
        if int.from_bytes(broken[entry : entry + 4], "little") == kind:
            pack_into("<II", broken, entry + 4, len(content), place)
    with pytest.raises(Malformed, match=cause):
        read(bytes(broken))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (MODULES, pack("<I", HUGE)),
        (MODULES, b""),
        (MEMORY, pack("<I", HUGE)),
        (MEMORY64, pack("<QQ", 1 << 63, 0)),
        (MEMORY64, pack("<QQQQ", 1, 1 << 63, 0, 10)),
        (MEMORY64, pack("<QQQQ", 1, 0, 0, 1 << 63)),
        (UNLOADED, pack("<III", 12, 24, HUGE)),
        (UNLOADED, pack("<III", HUGE, 24, 1)),
        (UNLOADED, pack("<III", 0, 0, HUGE)),
        (HANDLES, pack("<III", 12, 0, HUGE)),
        (MISC, b"\1"),
        (BREAKPAD, b""),
        (CRASHPAD, b"\1"),
        (CRASHPAD, pack("<I32x4I", 0, 0, 0, 0, 0)),
        (CRASHPAD, pack("<I32x4I", 1, 100, HUGE, 0, 0)),
        (MAC_CRASH_INFO, pack("<III40I", MAC_CRASH_INFO, HUGE, 0, *[HUGE] * 40)),
        (MAPS, b"no mapping\n"),
        (SOFT_ERRORS, b"{"),
    ],
)
def test_read_minidump_leaves_out_broken_stream_with_a_warning(kind: int, content: bytes) -> None:
    dump = read(with_stream(kind, content))
    assert len(dump.warnings) == 1
    assert dump.modules.all == dump.unloaded == ()
    assert set(dump.facts.values()) == {None}


def test_read_minidump_takes_the_last_stream_of_a_type() -> None:
    dump = DumpWriter()
    dump.process(1)
    dump.process(2)
    assert read(dump.content()).process_id == 2


def test_read_minidump_without_thread_list_is_refused() -> None:
    system = pack("<HHHBB5I4x24x", 9, 0, 0, 1, 0, 0, 0, 0, LINUX, 0)
    header = pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, HEADER_BYTES, 0, 0, 0)
    with pytest.raises(Malformed, match="no list of threads"):
        read(header + pack("<III", SYSTEM, len(system), HEADER_BYTES + 12) + system)


def test_uptime_of_process_that_starts_after_the_dump_is_zero() -> None:
    dump = DumpWriter(time_stamp=10)
    dump.process(1, create_time=20)
    assert read(dump.content()).uptime_seconds == 0


def test_texts_that_overlap_are_decoded_up_to_a_bound() -> None:
    # Each name begins two bytes after the one before, and is the rest of the same 60 KiB.
    dump = DumpWriter()
    size = 60_000
    rva = dump.add(pack("<H", size) + pack("<I", size) * 17_000).rva + 2
    for base in range(4000):
        dump.module(base << 16, 0x1000, "")
    content = bytearray(dump.content())
    dump_modules = read(bytes(content)).modules.all
    assert len(dump_modules) == 4000
    start = content.index(pack("<I", 4000) + bytes(8) + pack("<I", 0x1000)) + 4
    for number in range(4000):
        pack_into("<I", content, start + 108 * number + 20, rva + 4 * number % 4000)
    dump_read = read(bytes(content))
    total = sum(2 * len(module.code_file) for module in dump_read.modules.all)
    assert MAX_ALL_TEXT_BYTES // 2 < total <= MAX_ALL_TEXT_BYTES
    assert len(dump_read.warnings) == 100


def test_modules_and_threads_over_the_limits_are_left_out_with_a_warning() -> None:
    dump = DumpWriter()
    for number in range(1030):
        dump.thread(number)
    for number in range(4100):
        dump.module(number << 12, 0x1000, "m")
    dump.exception(1029, 11)
    parsed = read(dump.content())
    assert len(parsed.threads) == 1024
    # The thread that crashed is one of them.
    assert parsed.requesting_thread == 1023
    assert parsed.threads[1023].id == 1029
    assert len(parsed.modules.all) == 4096
    assert [warning.split(" has ")[1] for warning in parsed.warnings] == [
        "4100 modules; the first 4096 are read",
        "1030 threads; 1024 are read",
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_dumps_are_read_or_refused_as_malformed(name: str) -> None:
    chance = random.Random(name)
    content = SAMPLES[name]()
    refused = 0
    for _ in range(MUTANTS):
        try:
            report_of(mutate(content, chance))
        except Malformed:
            refused += 1
    assert refused < MUTANTS // 2


@pytest.mark.parametrize("name", SAMPLES)
def test_dump_that_is_cut_anywhere_is_read_or_refused_as_malformed(name: str) -> None:
    content = SAMPLES[name]()
    cut = "N bytes at offset N is past the end of the file, which is cut short or damaged"
    causes = set()
    for size in range(0, len(content), 7):
        try:
            report_of(content[:size])
        except Malformed as error:
            causes.add(re.sub("[0-9][0-9a-fx]*", "N", str(error)))
    assert causes == {
        NOT_A_DUMP,
        "file is too short for a minidump",
        *(f"the {part} of {cut}" for part in ("directory", "system info", "list of threads")),
    }


def test_memory_of_dump_is_not_copied() -> None:
    dump = DumpWriter(WINDOWS)
    stack = dump.memory(0x1000, words(8, 7))
    dump.thread(1, amd64_context(rsp=0x1000), stack)
    dump.module(0x40_0000, 0x1000, "/app", elf_record("00ff" * 10))
    content = bytearray(dump.content())
    [thread] = read_minidump(memoryview(content)).threads
    assert thread.stack is not None
    content[stack.place.rva] = 9
    assert thread.stack.read(0x1000, 8) == 9
