"""Identification of native files: one small program in every format (`tests/data/make_native.py`).

The ids are those of `symbolic`, except for files without an id, for which it has zeros, and for WebAssembly,
where it takes the length before the build id for a part of it.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from struct import pack

import pytest

from tecken.errors import Malformed
from tecken.symbols.formats import identify
from tecken.symbols.formats.base import Kind
from tecken.symbols.formats.pdb import OLD_MAGIC
from tests.symbols.formats.test_formats import reader

NATIVE = Path(__file__).parents[2] / "data" / "native"
DEBUG, EXECUTABLE = Kind.DEBUG, Kind.EXECUTABLE
ELF = ("52F29A25810178511980D12EF214D9FA0", "259af252018151781980d12ef214d9fab5fe9d52")
INTEL = ("4C4C44CC55553144A19875D9B8EAD5440", "4c4c44cc55553144a19875d9b8ead544")
ARM = ("4C4C440055553144A1A3693FB126F9380", "4c4c440055553144a1a3693fb126f938")
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"
# Kind, format, architecture, debug file, debug id, code id.
OBJECTS = {
    "libnative.so": [(DEBUG, "elf", "x86_64", "", *ELF)],
    "libnative.so.debug": [(DEBUG, "elf", "x86_64", "", *ELF)],
    "stripped.so": [(EXECUTABLE, "elf", "x86_64", "", *ELF)],
    "mini.so": [(EXECUTABLE, "elf", "x86_64", "", *ELF)],
    "symbols.so": [(EXECUTABLE, "elf", "x86_64", "", *ELF)],
    "symbols.debug": [(Kind.SYMBOL_TABLE, "elf", "x86_64", "", *ELF)],
    "arm64.exe": [
        (EXECUTABLE, "pe", "arm64", "arm64.pdb", "B274C4807B51816A4C4C44205044422E1", "0F1B0EFA3000")
    ],
    "arm64.so": [
        (
            DEBUG,
            "elf",
            "arm64",
            "",
            "AC426426A5937F549C52D921EC419F570",
            "266442ac93a5547f9c52d921ec419f575d44820b",
        )
    ],
    "big-endian.so": [
        (
            DEBUG,
            "elf",
            "ppc",
            "",
            "4D7679F218E5C12FDFB30D76596D8D190",
            "4d7679f218e5c12fdfb30d76596d8d1980471ea9",
        )
    ],
    "common.debug": [
        (
            Kind.COMMON,
            "elf",
            "x86_64",
            "",
            "C37C03010E85694B766B29951A3BE92E0",
            "01037cc3850e4b69766b29951a3be92ef7d3e9af",
        )
    ],
    "compressed.so": [
        (
            DEBUG,
            "elf",
            "x86_64",
            "",
            "15006341770B2C05AD1CBCBE0BE1A2280",
            "416300150b77052cad1cbcbe0be1a228b4e06fa8",
        )
    ],
    "fat.dwarf": [(DEBUG, "macho", "x86_64", "", *INTEL), (DEBUG, "macho", "arm64", "", *ARM)],
    "fat.dylib": [(EXECUTABLE, "macho", "x86_64", "", *INTEL), (EXECUTABLE, "macho", "arm64", "", *ARM)],
    "frames.debug": [
        (
            DEBUG,
            "elf",
            "x86_64",
            "",
            "00747021EE352852259B8189628EB7AC0",
            "2170740035ee5228259b8189628eb7ac26e4b705",
        )
    ],
    "frames.so": [
        (
            EXECUTABLE,
            "elf",
            "x86_64",
            "",
            "00747021EE352852259B8189628EB7AC0",
            "2170740035ee5228259b8189628eb7ac26e4b705",
        )
    ],
    "intel.dwarf": [(DEBUG, "macho", "x86_64", "", *INTEL)],
    "intel.dylib": [(EXECUTABLE, "macho", "x86_64", "", *INTEL)],
    "mingw.exe": [(DEBUG, "pe", "x86_64", "", "5D7B1532156764824C4C44205044422E1", "6B0BAF299000")],
    "native.exe": [(EXECUTABLE, "pe", "x86_64", "native.pdb", WINDOWS_ID, "CF9A71C03000")],
    "native.pdb": [(DEBUG, "pdb", "x86_64", "", WINDOWS_ID, "")],
    "packed.pdb": [(DEBUG, "pdb", "x86_64", "", WINDOWS_ID, "")],
    "native.wasm": [
        (DEBUG, "wasm", "wasm32", "", "000102030405060708090A0B0C0D0E0F0", "000102030405060708090a0b0c0d0e0f")
    ],
    "one.so": [
        (
            DEBUG,
            "elf",
            "x86_64",
            "",
            "CD2BC788CE6AD6FB9EA0CC8FF84688EE0",
            "88c72bcd6acefbd69ea0cc8ff84688eea520f814",
        )
    ],
    "split.dwp": [(Kind.COMMON, "elf", "x86_64", "", "", "")],
    "split.so": [
        (
            DEBUG,
            "elf",
            "x86_64",
            "",
            "A7D4C92647A4DDA8653DC282A3A68E820",
            "26c9d4a7a447a8dd653dc282a3a68e82115d1b15",
        )
    ],
    "unwind.exe": [
        (EXECUTABLE, "pe", "x86_64", "unwind.pdb", "063FF3CBB9F855154C4C44205044422E1", "CD6F5F244000")
    ],
    "unwind.pdb": [(DEBUG, "pdb", "x86_64", "", "063FF3CBB9F855154C4C44205044422E1", "")],
    "without-id.so": [(DEBUG, "elf", "x86_64", "", "00CAFFFBF55BF30E426CE4810F44F9830", "")],
    "without-id.wasm": [(DEBUG, "wasm", "wasm32", "", "", "")],
}


def identify_bytes(content: bytes) -> list[tuple[object, ...]]:
    found = identify(reader(content))
    return [
        (info.kind, info.format, info.arch, info.debug_file, info.debug_id, info.code_id) for info in found
    ]


@pytest.mark.parametrize(("name", "expected"), OBJECTS.items())
def test_identify_native_file_is_its_objects(name: str, expected: list[tuple[object, ...]]) -> None:
    assert identify_bytes((NATIVE / name).read_bytes()) == expected


def test_identify_dwz_file_has_the_build_id_of_its_common_file() -> None:
    (info,) = identify(reader((NATIVE / "one.so").read_bytes()))
    (common,) = identify(reader((NATIVE / "common.debug").read_bytes()))
    assert info.common_id == common.build_id != ""


@pytest.mark.parametrize(
    ("name", "has_code", "has_unwinding"),
    [
        ("frames.so", True, True),
        ("frames.debug", False, False),
        # It has the section `.debug_frame`, which is for debuggers.
        ("libnative.so.debug", False, True),
        ("stripped.so", True, False),
        ("native.exe", True, True),
        ("native.pdb", False, False),
        ("intel.dylib", True, True),
        ("intel.dwarf", False, False),
        ("native.wasm", True, False),
    ],
)
def test_identify_tells_files_with_code_and_unwind_information(
    name: str, has_code: bool, has_unwinding: bool
) -> None:
    (info,) = identify(reader((NATIVE / name).read_bytes()))
    assert (info.has_code, info.has_unwinding) == (has_code, has_unwinding)


def test_identify_elf_object_file_without_a_build_id_has_no_id() -> None:
    """It has code like a module, and is none before it is linked."""
    content = (NATIVE / "without-id.so").read_bytes()
    assert identify_bytes(content)[0][4] != ""
    assert identify_bytes(content[:16] + b"\1\0" + content[18:])[0][4] == ""


def test_identify_covers_every_native_file() -> None:
    assert {path.name for path in NATIVE.iterdir()} == OBJECTS.keys()


@pytest.mark.parametrize("name", OBJECTS)
def test_identify_file_that_is_cut_short_has_no_other_id(name: str) -> None:
    content = (NATIVE / name).read_bytes()
    ids = {info.debug_id for info in identify(reader(content))}
    for size in {*range(600), *range(600, len(content), 97)}:
        try:
            found = identify(reader(content[:size]))
        except Malformed:
            continue
        assert {info.debug_id for info in found} <= ids | {""}, size


@pytest.mark.parametrize("name", OBJECTS)
def test_identify_file_with_changed_bytes_is_malformed_at_worst(name: str) -> None:
    content, random = (NATIVE / name).read_bytes(), Random(name)
    for _ in range(300):
        changed = bytearray(content)
        reach = min(len(changed), random.choice((64, 1024, 1 << 20)))
        for _ in range(random.choice((1, 4, 20))):
            changed[random.randrange(reach)] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        try:
            identify(reader(bytes(changed)))
        except Malformed:
            continue


def metadata(*streams: tuple[bytes, bytes]) -> bytes:
    """Return the root of ECMA-335 metadata, and its streams."""
    head = b"BSJB" + pack("<HHII", 1, 1, 0, 12) + b"PDB v1.0".ljust(12, b"\0") + pack("<HH", 0, len(streams))
    names = [name + b"\0" * (4 - len(name) % 4) for name, _ in streams]
    offset = len(head) + sum(8 + len(name) for name in names)
    table, body = b"", b""
    for name, (_, content) in zip(names, streams, strict=True):
        table += pack("<II", offset + len(body), len(content)) + name
        body += content
    return head + table + body


def test_identify_portable_pdb_has_its_time_stamp_as_age() -> None:
    content = metadata((b"#Strings", b"\0"), (b"#Pdb", bytes(range(16)) + pack("<I", 0xD1B5A3C7)))
    expected = (DEBUG, "portable pdb", "any", "", "030201000504070608090A0B0C0D0E0FD1B5A3C7", "")
    assert identify_bytes(content) == [expected]


def test_identify_metadata_of_a_program_is_malformed() -> None:
    with pytest.raises(Malformed, match="no stream #Pdb"):
        identify(reader(metadata((b"#Strings", b"\0"))))


def test_identify_pdb_before_version_7_is_malformed() -> None:
    with pytest.raises(Malformed, match="before version 7"):
        identify(reader(OLD_MAGIC + bytes(1000)))


@pytest.mark.parametrize("length", [b"", b"\x08"])
def test_identify_wasm_build_id_may_have_its_length_before_it(length: bytes) -> None:
    section = b"\x08build_id" + length + b"ABCDEFGH"
    (info,) = identify(reader(b"\0asm\1\0\0\0\0" + bytes([len(section)]) + section))
    assert info.build_id == b"ABCDEFGH".hex()
    assert info.debug_id == b"ABCDEFGH".hex().upper() + "0" * 17
