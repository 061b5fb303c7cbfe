from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tecken.errors import BadOption
from tecken.runtimeconfig.option import Option
from tecken.runtimeconfig.options import CATALOGUE, Options, find_option
from tecken.runtimeconfig.snapshot import EMPTY, Snapshot
from tests.runtimeconfig.texts import NOW, refusal, texts_of

OPTIONS = list(CATALOGUE.values())


@pytest.mark.parametrize("option", OPTIONS, ids=list(CATALOGUE))
def test_option_default_is_valid(option: Option) -> None:
    found = option.parse(option.format(option.default))
    assert (found, type(found)) == (option.default, type(option.default))
    assert getattr(Options(), option.name) == option.default


@pytest.mark.parametrize("option", OPTIONS, ids=list(CATALOGUE))
def test_option_has_a_description(option: Option) -> None:
    assert option.text.endswith(".")
    assert option.group
    assert option.allowed
    assert option.past is None or option.past > 1


@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if one.kind in ("int", "float", "size", "duration")]
)
def test_option_number_has_bounds(option: Option) -> None:
    assert len(option.bounds) == 2


def test_options_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Options().symbolicate_max_jobs = 11


def test_find_option_unknown_name_suggests_the_most_similar() -> None:
    with pytest.raises(
        BadOption, match=r"no option 'symbolicat_max_job'; did you mean symbolicate_max_jobs\?"
    ):
        find_option("symbolicat_max_job")
    with pytest.raises(BadOption, match=r"^there is no option 'xyzzy'$"):
        find_option("xyzzy")
    with pytest.raises(BadOption, match=r"\.\.\.'$"):
        find_option("x" * 100_000)


@given(st.text(st.characters()))
def test_find_option_any_name_returns_or_raises_bad_option(name: str) -> None:
    error = refusal(find_option, name)
    assert name in CATALOGUE or error.startswith("there is no option ")


@given(st.fixed_dictionaries({}, optional={name: texts_of(option) for name, option in CATALOGUE.items()}))
def test_snapshot_options_equal_those_of_pydantic(texts: dict[str, str]) -> None:
    good = {}
    for name, text in texts.items():
        try:
            good[name] = CATALOGUE[name].parse(text)
        except BadOption:
            assert name in Snapshot(1, "", texts).bad
    assert Snapshot(1, "", texts).options(NOW) == Options.model_validate(good)


def test_snapshot_without_texts_has_all_defaults() -> None:
    assert EMPTY.options(NOW) == Options()
    assert EMPTY.options(NOW).model_dump() == Options().model_dump()
