from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import BadModule
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import (
    FileKey,
    FileType,
    below_root,
    file_of,
    is_former,
    lower_case_path,
    needs_lower_case_path,
    object_of,
    page_path,
    parse_page_path,
    parse_storage_path,
    storage_path,
    symbol_file,
)
from tests.support.symbol_names import ODD_NAMES

ID = "44E4EC8C2F41492B9369D6B9A059577C2"
XUL = ObjectId("Xul.pdb", ID)


def test_file_of_each_type_has_its_name() -> None:
    assert str(file_of(XUL, FileType.SYMBOL_FILE)) == f"Xul.pdb/{ID}/Xul.sym"
    assert str(file_of(XUL, FileType.PDB)) == f"Xul.pdb/{ID}/Xul.pdb"


@pytest.mark.parametrize("name", ["Xul.sym", "xul.sym", "XUL.SYM"])
def test_object_of_a_windows_symbol_file_in_any_case_is_its_object(name: str) -> None:
    assert object_of(FileKey("xul.pdb", ID, name)) == XUL


@pytest.mark.parametrize(
    "key",
    [
        FileKey("xul.pdb", ID, "xul.pdb"),
        FileKey("xul.pdb", ID, "other.sym"),
        FileKey("libXul.so", ID, "libxul.so.sym"),
        FileKey("xul.pdb", "5EE6E9E7", "xul.sym"),
    ],
)
def test_object_of_any_other_file_is_none(key: FileKey) -> None:
    assert object_of(key) is None


@given(st.text(), st.sampled_from([ID, ID + "F", "A" * 9]))
def test_symbol_file_of_an_object_leads_back(name: str, debug_id: str) -> None:
    try:
        module = ObjectId.parse(name, debug_id)
    except BadModule:
        return
    assert object_of(symbol_file(module)) == module


@pytest.mark.parametrize("name", ODD_NAMES)
def test_storage_path_leads_back(name: str) -> None:
    key = FileKey(name, ID, f"{name}.sym")
    assert parse_storage_path(storage_path(key)) == key


@pytest.mark.parametrize(
    "path", ["v1/a/b", "v1/a/b/c/d", "v2/a/b/c", "a/b/c", "", "v1/a/b/c.pages", "v1/a/b/c#1"]
)
def test_parse_storage_path_of_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not v1/"):
        parse_storage_path(path)


def test_below_root_is_the_path_of_a_download() -> None:
    for path in (f"v1/{symbol_file(XUL)}", f"try/v1/{symbol_file(XUL)}"):
        assert below_root(path) == str(symbol_file(XUL))


def test_lower_case_path_is_needed_for_windows_names_with_capitals() -> None:
    key = symbol_file(XUL)
    assert lower_case_path(key) == f"lc/xul.pdb/{ID.lower()}/xul.sym"
    assert needs_lower_case_path(key)
    assert not needs_lower_case_path(key.in_lower_case)
    assert not needs_lower_case_path(FileKey("libXul.so", ID, "libXul.so.sym"))


def test_page_path_is_one_for_all_spellings_and_another_in_try() -> None:
    paths = {page_path(ObjectId(name, ID)) for name in ("Xul.pdb", "xul.PDB", "xul.pdb")}
    assert paths == {f"pages/xul.pdb/{ID}"}
    assert page_path(XUL.in_try()) == f"try/pages/xul.pdb/{ID}"


@pytest.mark.parametrize("name", [*ODD_NAMES, "try", "pages", "v1"])
def test_page_path_leads_back(name: str) -> None:
    for module in (ObjectId(name, ID), ObjectId(name, ID).in_try()):
        assert parse_page_path(page_path(module)) == module


@pytest.mark.parametrize(
    "path",
    [f"pages/Xul.pdb/{ID}", f"pages/{ID}", f"v1/xul.pdb/{ID}", f"try/v1/xul.pdb/{ID}", "pages/a/b/c", ""],
)
def test_parse_page_path_of_any_other_path_is_none(path: str) -> None:
    assert parse_page_path(path) is None


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_storage_path_of_no_upload_is_that_of_a_page_file(name: str, debug_id: str, file_name: str) -> None:
    path = storage_path(FileKey(name, debug_id, file_name))
    assert parse_page_path(path) is None
    assert parse_page_path(f"try/{path}") is None


def test_is_former_knows_the_paths_of_former_releases() -> None:
    assert is_former(f"v1/{symbol_file(XUL)}.pages")
    assert is_former(f"texts/v1/{symbol_file(XUL)}")
    assert not is_former(f"v1/{symbol_file(XUL)}")
