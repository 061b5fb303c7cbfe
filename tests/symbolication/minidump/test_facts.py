"""Parts of dumps that a report only passes on, and the system."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest

from tecken.symbolication.minidump.dump import Minidump
from tecken.symbolication.minidump.read import read_minidump
from tests.support.minidump_samples import MAPPINGS, SAMPLES
from tests.support.minidumps import (
    AMD64,
    ANDROID,
    ARM,
    CPU_INFO,
    CRASHPAD,
    LIMITS,
    LINUX,
    LSB_RELEASE,
    MAC_CRASH_INFO,
    MACOS,
    MAPS,
    NOWHERE,
    PROC_STATUS,
    SOFT_ERRORS,
    WINDOWS,
    X86,
    DumpWriter,
)


def read(dump: DumpWriter) -> Minidump:
    return read_minidump(memoryview(dump.content()))


def with_stream(kind: int, content: bytes) -> Minidump:
    dump = DumpWriter()
    dump.stream(kind, content)
    return read(dump)


@pytest.mark.parametrize(
    ("system", "version", "build", "text"),
    [
        (WINDOWS, (10, 0, 19041), "", "10.0.19041"),
        (WINDOWS, (5, 1, 2600), " Service Pack 2 ", "5.1.2600 Service Pack 2"),
        (LINUX, (0, 0, 0), "Linux 5.4.0-1 #1 SMP x86_64 Linux/GNU", "5.4.0-1 #1 SMP"),
        (LINUX, (0, 0, 0), "Linux 5.4.0-1 #1 SMP x86_64", "5.4.0-1 #1 SMP"),
        (LINUX, (0, 0, 0), "Linux 0.0.0 #1", "0.0.0 Linux 0.0.0 #1"),
        (LINUX, (0, 0, 0), "Linux", "0.0.0 Linux"),
        (LINUX, (6, 1, 0), "Linux 5.4.0", "6.1.0 Linux 5.4.0"),
        (ANDROID, (0, 0, 0), "Linux 3.4 armv7l", "0.0.0 Linux 3.4 armv7l"),
    ],
)
def test_version_of_system_has_the_build(
    system: int, version: tuple[int, int, int], build: str, text: str
) -> None:
    assert read(DumpWriter(system, version=version, build=build)).system.os_version == text


@pytest.mark.parametrize(
    ("cpu", "details", "name", "text"),
    [
        (AMD64, b"", "amd64", "family 6 model 22 stepping 2"),
        (X86, b"AuthenticAMD", "x86", "AuthenticAMD family 6 model 22 stepping 2"),
        (ARM, b"", "arm", "ARMv6"),
        (ARM, pack("<II", 0x4100_C090, 0x1001), "arm", "ARMv6 ARM Cortex-A9 features: swp,neon"),
        (ARM, pack("<II", 0x7F00_1230, 0), "arm", "ARMv6 vendor(0x7f) part(0x7f001230)"),
        (0x8002, b"", "ppc64", None),
        (0x1234, b"", "unknown", None),
    ],
)
def test_processor_has_a_name_and_a_text(cpu: int, details: bytes, name: str, text: str | None) -> None:
    system = read(DumpWriter(cpu=cpu, cpu_details=details)).system
    assert (system.cpu, system.cpu_info) == (name, text)


def test_processor_whose_stacks_cannot_be_walked_has_a_warning() -> None:
    dump = DumpWriter(LINUX, 0x8005)
    dump.thread(1)
    [warning] = read(dump).warnings
    assert warning.startswith("stacks of this processor (unknown, 0x8005) cannot be walked; only x86, ")


def test_system_of_unknown_number_is_named_after_it() -> None:
    assert read(DumpWriter(0x9999)).system.os == "0x0x009999"


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"microcode\t: 0xb4\n", 0xB4),
        (b"a: b\nmicrocode : 0xB4\nmicrocode: 0x1\n", 0xB4),
        (b"microcode: b4", None),
        (b"microcode: 0x_1", None),
        (b"microcode: 0x" + b"f" * 17, None),
        (b"microcode: \xff", None),
        (b"", None),
    ],
)
def test_microcode_is_read_from_cpuinfo(content: bytes, version: int | None) -> None:
    assert with_stream(CPU_INFO, content).system.cpu_microcode == version


@pytest.mark.parametrize(
    ("content", "process_id"),
    [(b"Name: a\nPid:\t42\n", 42), (b"PPid: 1\n", 0), (b"Pid: 4294967296\n", 0), (b"Pid: \xb2\n", 0)],
)
def test_process_id_is_read_from_status_without_misc_info(content: bytes, process_id: int) -> None:
    assert with_stream(PROC_STATUS, content).process_id == process_id


def test_process_id_of_status_does_not_count_with_misc_info() -> None:
    dump = DumpWriter()
    dump.stream(PROC_STATUS, b"Pid: 1\n")
    dump.process(2)
    assert read(dump).process_id == 2


def test_release_has_names_of_both_files() -> None:
    content = b' ID = debian \nVERSION_ID="12"\nVERSION_CODENAME=""\nPRETTY_NAME="Debian 12"\nrest\n'
    assert with_stream(LSB_RELEASE, content).facts["lsb_release"] == {
        "id": "debian",
        "release": "12",
        "codename": "",
        "description": "Debian 12",
    }


def test_mappings_are_counted() -> None:
    assert with_stream(MAPS, MAPPINGS).facts["linux_memory_map_count"] == 4
    assert with_stream(MAPS, b"").facts["linux_memory_map_count"] == 0


def test_limits_are_numbers_or_unlimited() -> None:
    content = b"head\nMax a      1          unlimited   bytes\nMax b      x          2\nno limit\n"
    assert with_stream(LIMITS, content).facts["proc_limits"] == {
        "limits": [
            {"name": "Max a", "soft": 1, "hard": "unlimited", "unit": "bytes"},
            {"name": "Max b", "soft": 0, "hard": 2, "unit": "n/a"},
        ]
    }


def test_errors_of_the_writer_are_passed_on() -> None:
    assert with_stream(SOFT_ERRORS, b'[{"a": [1, null]}]').facts["soft_errors"] == [{"a": [1, None]}]


def test_errors_of_the_writer_that_are_too_long_are_left_out() -> None:
    dump = with_stream(SOFT_ERRORS, b'"' + b"a" * (1 << 20) + b'"')
    assert dump.facts["soft_errors"] is None
    assert "more than 1048576" in dump.warnings[0]


def test_handles_have_names() -> None:
    assert read_minidump(memoryview(SAMPLES["windows"]())).facts["handles"] == [
        {"handle": 4, "type_name": "File", "object_name": "\\Device\\Null"},
        {"handle": 8, "type_name": "Event", "object_name": None},
    ]


def test_annotations_of_program_and_modules_are_read() -> None:
    assert read_minidump(memoryview(SAMPLES["macos"]())).facts["crashpad"] == {
        "report_id": "030201000504070608090a0b0c0d0e0f",
        "client_id": "131211101514171618191a1b1c1d1e1f",
        "simple_annotations": {"prod": "App", "ver": "1.2"},
        "modules": [
            {
                "module_index": 0,
                "list_annotations": [],
                "simple_annotations": {},
                "annotation_objects": {"url": "about:blank"},
            }
        ],
    }


def test_annotations_in_tables_that_overlap_are_read_up_to_a_bound() -> None:
    dump = DumpWriter()
    table = dump.add(pack("<I", 1000) + pack("<II", dump.utf8("key"), dump.utf8("value")) * 1000)
    module = dump.add(pack("<IIIIIII", 1, *NOWHERE, *table, *NOWHERE))
    links = dump.add(pack("<I", 1000) + pack("<III", 0, *module) * 1000)
    dump.stream(CRASHPAD, pack("<I32xIIII", 1, *table, *links))
    parsed = read(dump)
    assert parsed.facts["crashpad"] is None
    assert parsed.warnings == ("cannot read the annotations of Crashpad: it has more than 4096 entries",)


def test_messages_of_crashed_libraries_are_read() -> None:
    facts = read_minidump(memoryview(SAMPLES["macos"]())).facts
    assert facts["mac_boot_args"] == "-v keepsyms=1"
    info: Any = facts["mac_crash_info"]
    assert info["num_records"] == 2
    assert info["records"][1] == {
        "thread": "0x0000000000000003",
        "dialog_mode": None,
        "abort_cause": "0x0000000000000004",
        "module": "/usr/lib/libsystem_c.dylib",
        "message": "abort() called",
        "signature_string": None,
        "backtrace": None,
        "message2": None,
    }


@pytest.mark.parametrize(
    ("record", "start", "cause"),
    [
        (pack("<QQQQQ", 0, 5, 0, 0, 0) + b"a\0b\0c\0d\0e", 40, "texts are cut"),
        (pack("<QQQQQ", 0, 5, 0, 0, 0) + b"\0\0\0\0\0", 39, "inside of its numbers"),
        (pack("<QQQQQ", 0, 5, 0, 0, 0) + b"\xff\0\0\0\0\0", 40, "not in UTF-8"),
        (pack("<QQQQQ", 0, 5, 0, 0, 0) + bytes(70_000), 40, "too long"),
        (pack("<QQ", 0, 4), 40, "is cut"),
        (pack("<Q", 0), 40, "is cut"),
    ],
)
def test_broken_messages_of_crashed_libraries_are_left_out(record: bytes, start: int, cause: str) -> None:
    dump = DumpWriter(MACOS)
    places = [*dump.add(record), *[0] * 38]
    dump.stream(MAC_CRASH_INFO, pack("<III40I", MAC_CRASH_INFO, 1, start, *places))
    parsed = read(dump)
    assert parsed.facts["mac_crash_info"] is None
    assert cause in parsed.warnings[0]


def test_record_of_an_old_version_has_no_texts() -> None:
    dump = DumpWriter(MACOS)
    places = [*dump.add(pack("<QQ", 0, 1)), *[0] * 38]
    dump.stream(MAC_CRASH_INFO, pack("<III40I", MAC_CRASH_INFO, 1, 16, *places))
    info: Any = read(dump).facts["mac_crash_info"]
    assert set(info["records"][0].values()) == {None}
