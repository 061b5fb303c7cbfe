from __future__ import annotations

from struct import pack

import pytest

from tecken.symbolication.minidump.dump import DumpModule, Minidump, Modules
from tecken.symbolication.minidump.module_list import base_name
from tecken.symbolication.minidump.read import read_minidump
from tests.support.minidumps import LINUX, MACOS, WINDOWS, DumpWriter, elf_record, pdb_record

BUILD_ID = "b5381a457906d279073822a5ceb24c4bfef94ddb"
PDB_ID = "5A9832E5287241C1838ED98914E9B7FF"


def read(dump: DumpWriter) -> Minidump:
    return read_minidump(memoryview(dump.content()))


def module_with(record: bytes, system: int = WINDOWS) -> tuple[DumpModule, tuple[str, ...]]:
    """Return a module with a CodeView record, and the warnings."""
    dump = DumpWriter(system)
    dump.module(0x1000, 0x2000, "/lib/a.so", record, 0x4444_AAAA)
    parsed = read(dump)
    return parsed.modules.all[0], parsed.warnings


def test_module_with_pdb_record_has_ids_of_pe_file() -> None:
    module, _ = module_with(pdb_record(f"{PDB_ID}1A", "c:\\build\\a.pdb"))
    assert module == DumpModule(0x1000, 0x2000, "/lib/a.so", "4444aaaa2000", "a.pdb", f"{PDB_ID}1A")


def test_module_with_pdb_record_of_macos_has_its_uuid_twice() -> None:
    module, _ = module_with(pdb_record(f"{PDB_ID}0", "a"), MACOS)
    assert (module.code_id, module.debug_id) == (PDB_ID.lower(), f"{PDB_ID}0")


def test_module_with_pdb_20_record_has_time_stamp_as_id() -> None:
    module, _ = module_with(b"NB10" + pack("<III", 0, 0x3B3A_1E3F, 26) + b"old.pdb\0rest")
    assert (module.debug_file, module.debug_id) == ("old.pdb", "3B3A1E3F1A")


def test_module_with_build_id_has_debug_id_of_its_first_bytes() -> None:
    module, _ = module_with(elf_record(BUILD_ID), LINUX)
    assert (module.code_id, module.debug_id) == (BUILD_ID, "451A38B5067979D2073822A5CEB24C4B0")
    assert module.debug_file == "a.so"


def test_module_with_short_build_id_has_padded_debug_id() -> None:
    module, _ = module_with(elf_record("0102030405"), LINUX)
    assert (module.code_id, module.debug_id) == ("0102030405", "040302010005000000000000000000000")


def test_module_with_build_id_of_zeros_has_no_ids() -> None:
    module, warnings = module_with(elf_record("00" * 20), LINUX)
    assert (module.code_id, module.debug_id, warnings) == ("", "", ())


def test_module_with_guid_of_zeros_has_no_debug_id() -> None:
    module, _ = module_with(pdb_record("0" * 32 + "1", "a.pdb"))
    assert (module.code_id, module.debug_id) == ("4444aaaa2000", "")


@pytest.mark.parametrize(("system", "code_id"), [(WINDOWS, "4444aaaa2000"), (LINUX, "")])
def test_module_without_record_has_code_id_on_windows_only(system: int, code_id: str) -> None:
    module, warnings = module_with(b"", system)
    assert (module.code_id, module.debug_file, module.debug_id, warnings) == (code_id, "", "", ())


def test_module_with_record_of_unknown_kind_has_no_ids() -> None:
    module, warnings = module_with(b"NB09" + bytes(40))
    assert (module.code_id, module.debug_id, warnings) == ("", "", ())


@pytest.mark.parametrize("record", [b"RSDS" + bytes(19), b"NB10" + bytes(11), b"LEpB" + b"\1" * 257])
def test_module_with_broken_record_has_no_ids_and_a_warning(record: bytes) -> None:
    module, warnings = module_with(record)
    assert (module.code_id, module.debug_id) == ("", "")
    assert warnings == ("cannot read the debug record of the module at 0x1000; it has no ids",)


def test_module_with_unreadable_name_has_none_and_a_warning() -> None:
    dump = DumpWriter(LINUX)
    dump.module(0x1000, 0x1000, "\ud800", elf_record(BUILD_ID))
    parsed = read(dump)
    assert (parsed.modules.all[0].code_file, parsed.modules.all[0].code_id) == ("", BUILD_ID)
    assert parsed.warnings == ("cannot read the name of the module at 0x1000; it has none",)


def test_modules_without_range_are_left_out() -> None:
    dump = DumpWriter(LINUX)
    dump.module(0x1000, 0, "empty")
    dump.module((1 << 64) - 0x1000, 0x1000, "past the end")
    dump.module(0x2000, 0x1000, "whole")
    dump.unloaded(0x1000, 0, "empty")
    dump.unloaded(0x2000, 0x1000, "whole", 1)
    parsed = read(dump)
    assert [module.code_file for module in parsed.modules.all] == ["whole"]
    assert parsed.unloaded == (DumpModule(0x2000, 0x1000, "whole", "000000011000"),)


@pytest.mark.parametrize(("system", "version"), [(WINDOWS, "1.2.3.4"), (LINUX, "65538.196612.5.6")])
def test_version_has_half_words_or_words(system: int, version: str) -> None:
    dump = DumpWriter(system)
    dump.module(0x1000, 0x1000, "a", version=(0x1_0002, 0x3_0004, 5, 6))
    assert read(dump).modules.all[0].version == version


def test_find_of_address_in_overlapping_modules_gives_the_first() -> None:
    modules = Modules(
        [
            DumpModule(0x3000, 0x1000, "third"),
            DumpModule(0x1800, 0x1000, "overlaps the first"),
            DumpModule(0x1000, 0x1000, "first"),
            DumpModule(0x1000, 0x3000, "longer than the first"),
            DumpModule(0x2000, 0x1000, "second"),
        ]
    )
    found = [modules.find(address) for address in (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x2FFF, 0x3FFF, 0x4000)]
    assert found == [None, 2, 2, 4, 4, 0, None]


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b", "b"), ("C:\\a\\b.dll", "b.dll"), ("a", "a"), ("/a/", ""), ("", "")]
)
def test_base_name_is_the_last_part_of_a_path(path: str, name: str) -> None:
    assert base_name(path) == name
