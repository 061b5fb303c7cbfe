from __future__ import annotations

import copy
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from symbolic.debuginfo import id_from_breakpad, normalize_code_id

from tecken.errors import BadModule
from tecken.symbols.ids import (
    MAX_NAME,
    ObjectId,
    code_id,
    debug_ids_of_code_id,
    is_zero_debug_id,
    normal_debug_id,
)

ID = "44E4EC8C2F41492B9369D6B9A059577C2"


@pytest.mark.parametrize(
    "name",
    [
        "xul.pdb",
        "[vdso]",
        "<unknown>",
        "{ec8030f7-c20a-464f-9b0e-13a3a9e97384}.xpi",
        "a b~1.dll",
        "符号🦊",
        "...",
    ],
)
def test_odd_names_are_legal(name: str) -> None:
    assert ObjectId.parse(name, ID).debug_file == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0b", "\x7f", "\x85", "\ud800", "x" * (MAX_NAME + 1)]
)
def test_a_path_or_an_unprintable_or_overlong_name_is_refused(name: str) -> None:
    with pytest.raises(BadModule):
        ObjectId.parse(name, ID)


@pytest.mark.parametrize(
    "debug_id", ["", "nope", "A" * 8, "A" * 41, ID[:8] + "-" + ID[8:], ID + "\n", "ﬀ" * 17, "٣" * 33]
)
def test_a_debug_id_is_hex_and_nothing_else(debug_id: str) -> None:
    with pytest.raises(BadModule):
        ObjectId.parse("xul.pdb", debug_id)


def test_a_debug_id_of_pdb_2_has_8_digits_and_an_age() -> None:
    assert ObjectId.parse("old.pdb", "3f8a12bc1").debug_id == "3F8A12BC1"


def test_module_key_of_32_digits_is_that_with_age_0() -> None:
    assert ObjectId.parse("xul.pdb", ID[:32].lower()) == ObjectId.parse("xul.pdb", ID[:32] + "0")


@pytest.mark.parametrize("debug_id", ["3F8A12BC1", ID[:31], ID, ID + "1"])
def test_normal_debug_id_of_other_lengths_is_unchanged(debug_id: str) -> None:
    assert normal_debug_id(debug_id.lower()) == debug_id


@pytest.mark.parametrize("age", ["", "0", "1", "a", "FFFFFFFF"])
def test_is_zero_debug_id_with_32_zeros_and_any_age_is_true(age: str) -> None:
    assert is_zero_debug_id("0" * 32 + age)


@pytest.mark.parametrize("debug_id", [ID, "0" * 31 + "10", "000000001", ""])
def test_is_zero_debug_id_with_any_other_id_is_false(debug_id: str) -> None:
    assert not is_zero_debug_id(debug_id)


@given(st.text(string.hexdigits, min_size=33, max_size=40))
def test_a_settled_debug_id_is_the_same_module_to_symbolic(debug_id: str) -> None:
    settled = ObjectId.parse("xul.pdb", debug_id).debug_id
    assert settled == debug_id.upper()
    theirs: Callable[[str], str] = id_from_breakpad
    assert theirs(settled) == theirs(debug_id)


@given(st.text(string.hexdigits + "-", min_size=1, max_size=64).filter(lambda text: text.strip("-")))
def test_a_code_id_is_the_one_that_symbolic_makes_but_for_the_case(given_id: str) -> None:
    theirs: Callable[[str], str] = normalize_code_id
    assert code_id(given_id).lower() == theirs(given_id)


@pytest.mark.parametrize("bad", ["", "-", "zz", "12 34", "a" * 129])
def test_a_code_id_that_is_not_hex_is_refused(bad: str) -> None:
    with pytest.raises(BadModule):
        code_id(bad)


def test_a_key_reads_as_a_path() -> None:
    assert str(ObjectId.parse("xul.pdb", ID.lower())) == f"xul.pdb/{ID}"


def test_in_try_equals_no_regular_module() -> None:
    regular = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
    of_try = regular.in_try()
    assert of_try != regular
    assert regular != of_try
    assert of_try == regular.in_try()
    assert len({regular, of_try, regular.in_try()}) == 2
    assert str(of_try) == "try/xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2"


@pytest.mark.parametrize("name", ["xul.pdb", "try", "a b~"])
def test_parsed_key_text_of_a_module_is_that_module(name: str) -> None:
    module = ObjectId.parse(name, "44E4EC8C2F41492B9369D6B9A059577C2")
    for one in (module, module.in_try()):
        assert ObjectId.from_key(str(one)) == one


@pytest.mark.parametrize(
    ("build_id", "debug_ids"),
    [
        (
            "6CB9DBAD91ED58F912FB09F7F2655E6F",
            ("ADDBB96CED91F95812FB09F7F2655E6F0", "6CB9DBAD91ED58F912FB09F7F2655E6F0"),
        ),
        ("6CB9DBAD91ED58F912FB09F7F2655E6F01020304", ("ADDBB96CED91F95812FB09F7F2655E6F0",)),
        ("6CB9DBAD91ED58F9", ("ADDBB96CED91F95800000000000000000",)),
        ("6CB9DBAD91ED58", ()),
        ("5AB380779000A", ()),
    ],
    ids=["UUID", "SHA-1", "shortest", "shorter", "PE file"],
)
def test_debug_ids_of_code_id_are_one_or_two_by_its_length(build_id: str, debug_ids: tuple[str, ...]) -> None:
    assert debug_ids_of_code_id(build_id) == debug_ids


@pytest.mark.parametrize("spelling", ["Foo.PDB", "foo.pdb", "FOO.pdb"])
def test_object_id_windows_names_in_other_cases_are_equal(spelling: str) -> None:
    first, other = ObjectId.parse("Foo.pdb", ID), ObjectId.parse(spelling, ID)
    assert first == other
    assert hash(first) == hash(other)
    assert {first: 1}[other] == 1
    assert first.key == other.key == f"foo.pdb/{ID}"
    assert (other.debug_file, str(other)) == (spelling, f"{spelling}/{ID}")
    assert other.in_try() == first.in_try()
    assert other.in_try().debug_file == spelling


@pytest.mark.parametrize("name", ["libFoo.so", "Foo", "Foo.dylib", "Foo.pdb.so"])
def test_object_id_other_names_in_another_case_differ(name: str) -> None:
    assert ObjectId.parse(name, ID) != ObjectId.parse(name.lower(), ID)
    assert ObjectId.parse(name, ID).key == f"{name}/{ID}"


def test_object_id_with_another_debug_id_differs() -> None:
    assert ObjectId.parse("foo.pdb", ID) != ObjectId.parse("foo.pdb", ID[:-1] + "3")


def test_from_key_of_a_key_is_an_equal_object() -> None:
    for one in (ObjectId.parse("Foo.PDB", ID), ObjectId.parse("Foo.PDB", ID).in_try()):
        assert ObjectId.from_key(one.key) == one


def test_object_id_copied_is_the_same_spelling() -> None:
    one = ObjectId.parse("Foo.PDB", ID).in_try()
    copied = copy.deepcopy(one)
    assert (copied, copied.debug_file) == (one, "Foo.PDB")
