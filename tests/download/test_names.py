from __future__ import annotations

import pytest

from tecken.download.names import ignored, wanted
from tecken.errors import BadModule
from tecken.sources.port import FileKey

ID = "44E4EC8C2F41492B9369D6B9A059577C2"


def test_ids_are_upper_cased() -> None:
    assert wanted("xul.pdb", ID.lower(), "xul.sym").key == FileKey("xul.pdb", ID, "xul.sym")


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\\b", "..", ".", "", "a" * 1025, "a\x85"])
def test_bad_names(name: str) -> None:
    with pytest.raises(BadModule):
        wanted(name, ID, "xul.sym")
    with pytest.raises(BadModule):
        wanted("xul.pdb", ID, name)


def test_an_id_of_no_kind() -> None:
    with pytest.raises(BadModule):
        wanted("xul.pdb", "A" * 129, "xul.sym")


@pytest.mark.parametrize(
    ("some_id", "debug", "code"),
    [
        ("5AB38077A000", True, True),  # PE: time stamp and size; PDB 2.0: signature and age
        ("5AB3", False, True),
        (ID, True, False),
        ("8" * 40, True, True),
        ("8" * 64, False, True),
    ],
)
def test_what_an_id_may_be(some_id: str, debug: bool, code: bool) -> None:
    asked = wanted("xul", some_id, "xul.sym")
    assert (asked.may_be_debug_id, asked.may_be_code_id) == (debug, code)


def test_only_symbols_are_looked_up_by_code_id() -> None:
    assert not wanted("xul.dll", "5AB38077A000", "xul.dl_").may_be_code_id


@pytest.mark.parametrize(
    ("name", "expected"), [("xul.sym", True), ("xul.pdb.sym", False), ("xul.pd_", False)]
)
def test_what_an_upstream_may_have(name: str, expected: bool) -> None:
    assert wanted("xul.pdb", ID, name).is_symbol_file is expected


@pytest.mark.parametrize(
    ("some_id", "name", "expected"),
    [
        (ID, "file.ptr", True),
        ("0" * 33, "xul.sym", True),
        (ID, "xul.exe", True),
        (ID, "xul.sym.pages", True),
        (ID, "xul.sym", False),
        (ID, "XUL.SYM", False),
        (ID, "xul.tar.bz2", False),
    ],
)
def test_ignored(some_id: str, name: str, expected: bool) -> None:
    assert ignored(FileKey("xul.pdb", some_id, name), [".sym", ".tar.bz2"]) is expected
