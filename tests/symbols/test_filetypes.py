from __future__ import annotations

import pytest

from tecken.symbols.layouts import FileType


@pytest.mark.parametrize(
    ("name", "file_type"),
    [
        ("xul.sym", FileType.SYMBOL_FILE),
        ("XUL.SYM", FileType.SYMBOL_FILE),
        ("xul.pdb", FileType.PDB),
        ("xul.pd_", FileType.PDB),
        ("xul.dl_", FileType.PE),
        ("libxul.so", FileType.ELF),
        ("libxul.so.debug", FileType.DEBUG_ONLY),
        ("libxul.so.dbg.gz", FileType.DEBUG_ONLY),
        ("XUL.dSYM.tar.bz2", FileType.DSYM),
        ("libxul.so.dwp", FileType.DWP),
        ("libfoo.dylib", FileType.MACHO),
        ("libc.so.6", FileType.OTHER),
        ("", FileType.OTHER),
    ],
)
def test_of_name_suffix_decides(name: str, file_type: FileType) -> None:
    assert FileType.of_name(name) is file_type


@pytest.mark.parametrize(
    ("debug_file", "sym"),
    [("xul.pdb", "xul.sym"), ("XUL.PDB", "XUL.sym"), ("libxul.so", "libxul.so.sym"), ("XUL", "XUL.sym")],
)
def test_file_name_of_a_symbol_file_replaces_pdb_only(debug_file: str, sym: str) -> None:
    assert FileType.SYMBOL_FILE.file_name(debug_file) == sym


def test_file_name_of_a_native_file_is_the_debug_file_with_an_addition() -> None:
    assert FileType.DEBUG_ONLY.file_name("libxul.so") == "libxul.so.debug"
    assert FileType.PDB.file_name("xul.pdb") == "xul.pdb"


@pytest.mark.parametrize("file_type", FileType)
def test_encoding_only_symbol_files_are_compressed(file_type: FileType) -> None:
    is_text = file_type is FileType.SYMBOL_FILE
    assert file_type.is_compressed == (file_type.encoding == "gzip") == is_text
    assert file_type.content_type == ("text/plain" if is_text else "application/octet-stream")


def test_order_begins_with_the_preferred_type() -> None:
    assert next(iter(FileType)) is FileType.SYMBOL_FILE
