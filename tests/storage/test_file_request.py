from __future__ import annotations

import pytest

from tecken.errors import BadModule
from tecken.storage.port import parse_names
from tecken.symbols.layouts import FileKey

ID = "44E4EC8C2F41492B9369D6B9A059577C2"


def test_ids_are_upper_cased() -> None:
    assert parse_names("xul.pdb", ID.lower(), "xul.sym").key == FileKey("xul.pdb", ID, "xul.sym")


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\\b", "..", ".", "", "a" * 1025, "a\x85"])
def test_bad_names(name: str) -> None:
    with pytest.raises(BadModule):
        parse_names(name, ID, "xul.sym")
    with pytest.raises(BadModule):
        parse_names("xul.pdb", ID, name)


def test_an_id_of_no_kind() -> None:
    with pytest.raises(BadModule):
        parse_names("xul.pdb", "A" * 129, "xul.sym")


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
    request = parse_names("xul", some_id, "xul.sym")
    assert (request.may_be_debug_id, request.may_be_code_id) == (debug, code)


def test_only_symbols_are_looked_up_by_code_id() -> None:
    assert not parse_names("xul.dll", "5AB38077A000", "xul.dl_").may_be_code_id


@pytest.mark.parametrize(
    ("name", "expected"), [("xul.sym", True), ("xul.pdb.sym", False), ("xul.pd_", False)]
)
def test_what_an_upstream_may_have(name: str, expected: bool) -> None:
    assert parse_names("xul.pdb", ID, name).is_symbol_file is expected


def test_parse_names_id_of_32_digits_has_age_0_and_keeps_the_older_path() -> None:
    request = parse_names("libd.so", ID[:32].lower(), "libd.so.sym")
    assert [key.debug_id for key in request.keys] == [ID[:32] + "0", ID[:32]]
    assert request.given_id == ID[:32]


@pytest.mark.parametrize(
    ("some_id", "debug_ids"),
    [
        ("6CB9BBDAED9158F912FB09F7F2655E6F2D5EA5A2", ["DABBB96C91EDF95812FB09F7F2655E6F0"]),
        ("6CB9BBDAED9158F9", ["DABBB96C91EDF95800000000000000000"]),
        ("5AB38077A000", []),
        (ID, []),
    ],
)
def test_build_id_keys_are_under_the_derived_debug_id(some_id: str, debug_ids: list[str]) -> None:
    assert [
        key.debug_id for key in parse_names("libz.so.1", some_id, "libz.so.1.sym").build_id_keys
    ] == debug_ids
