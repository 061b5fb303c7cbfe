from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tecken.errors import BadOption
from tecken.runtimeconfig.option import (
    LONGEST_QUOTE,
    LONGEST_TEXT,
    Bytes,
    Names,
    Option,
    Seconds,
    build_catalogue,
    group,
    shorten,
    to_text,
)
from tests.runtimeconfig.texts import refusal

declared = group("Sorts")


class Sorts(BaseModel):
    """Options of each kind, one for each."""

    switch: bool = declared(False, "A switch.")
    count: int = declared(1, "A count.", ge=0, le=100)
    more: int = declared(1, "At least one.", ge=1)
    ratio: float = declared(0.5, "A ratio.", ge=0, lt=1)
    level: Literal["LOW", "HIGH"] = declared("LOW", "A level.")
    text: str = declared("", "A text.", max_length=20)
    wait: Seconds = declared(10.0, "A wait.", gt=0, le=86_400, past=60)
    free: Seconds = declared(10.0, "A wait without bounds.")
    room: Bytes = declared(1024, "Room.", ge=1, le=1024**4)
    some: Names = declared((), "Names.")


OPTIONS = build_catalogue(Sorts)


def bad(name: str, text: str) -> str:
    with pytest.raises(BadOption) as caught:
        OPTIONS[name].parse(text)
    return str(caught.value)


def test_catalogue_has_the_declared_details() -> None:
    wait = OPTIONS["wait"]
    assert list(OPTIONS) == list(Sorts.model_fields)
    assert (wait.name, wait.group, wait.kind, wait.default) == ("wait", "Sorts", "duration", 10.0)
    assert (wait.bounds, wait.text, wait.past) == ({"gt": 0, "le": 86_400}, "A wait.", 60)
    assert (OPTIONS["level"].choices, OPTIONS["level"].past) == (("LOW", "HIGH"), None)


def test_catalogue_kinds_have_their_names() -> None:
    kinds = "bool int int float choice str duration duration size names"
    assert " ".join(option.kind for option in OPTIONS.values()) == kinds


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *[("switch", text, True) for text in ("true", "True", "on", "yes", "1", " on\n")],
        *[("switch", text, False) for text in ("false", "off", "no", "0")],
        ("count", " 20 ", 20),
        ("count", "20.0", 20),
        ("ratio", "0.25", 0.25),
        ("level", "high", "HIGH"),
        ("text", " as it is ", " as it is "),
        ("text", "", ""),
        *[("wait", text, 90.0) for text in ("90", "90s", "1.5m", "1m30s", "1m 30s", " 90.0 ")],
        ("wait", "1ms", 0.001),
        ("wait", "24h", 86_400.0),
        *[("room", text, 64 * 1024**2) for text in ("64MiB", "64 mib", "67108864", "67108864B", "65536KiB")],
        ("room", "1.5GB", 1_500_000_000),
        ("room", "0.1KiB", 102),
        *[("some", text, ("a", "b c")) for text in ("a, b c", "a,b c,", '["a", " b c ", ""]')],
        *[("some", text, ()) for text in ("", " ", ",", "[]")],
    ],
)
def test_parse_text_returns_the_value(name: str, text: str, value: object) -> None:
    found = OPTIONS[name].parse(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "switch",
            "maybe",
            "switch should be on or off, or for some only, such as 25% of users, not 'maybe'",
        ),
        ("count", "ten", "count should be a whole number from 0 to 100, not 'ten'"),
        ("count", "101", "count should be a whole number from 0 to 100, not '101'"),
        ("count", "1.5", "count should be a whole number from 0 to 100, not '1.5'"),
        ("count", "", "count should be a whole number from 0 to 100, not ''"),
        ("more", "0", "more should be a whole number of at least 1, not '0'"),
        ("ratio", "1", "ratio should be a number of at least 0 and less than 1, not '1'"),
        ("ratio", "nan", "ratio should be a number of at least 0 and less than 1, not 'nan'"),
        ("level", "loud", "level should be one of LOW, HIGH, not 'loud'"),
        ("text", "a" * 21, f"text should be text of at most 20 characters, not '{'a' * 21}'"),
        (
            "wait",
            "2d",
            "wait should be a duration of more than 0s and at most 1d, such as 90s or 1h 30m, not '2d'",
        ),
        ("free", "inf", "free should be a duration, such as 90s or 1h 30m, not 'inf'"),
        (
            "room",
            "64 MiB or so",
            "room should be a size from 1B to 1TiB, such as 512KiB or 1.5GB, not '64 MiB or so'",
        ),
        ("some", "[1]", "some should be names with commas between them, not '[1]'"),
        ("some", "[" * 9000, "some should be names with commas between them"),
    ],
)
def test_parse_invalid_text_names_allowed_values(name: str, text: str, says: str) -> None:
    assert says in bad(name, text)


@pytest.mark.parametrize(
    "text", ["1" * 9000, "9" * 5000 + "d", "9" * 400 + "TiB", "\ud800", "x" * 20_000, "\0"]
)
@pytest.mark.parametrize("name", ["switch", "count", "ratio", "wait", "room"])
def test_parse_long_or_unstorable_text_has_a_short_error(name: str, text: str) -> None:
    assert len(bad(name, text)) < 300


def test_parse_text_over_the_length_limit_is_refused() -> None:
    assert f"longer than {LONGEST_TEXT} characters" in bad("some", "a" * (LONGEST_TEXT + 1))


@given(st.sampled_from(list(OPTIONS.values())), st.text(st.characters()))
def test_parse_any_text_returns_a_value_or_bad_option(option: Option, text: str) -> None:
    error = refusal(option.parse, text)
    assert not error or error.startswith(f"{option.name} should be ")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("switch", True, "on"),
        ("switch", False, "off"),
        ("count", 20_000, "20000"),
        ("ratio", 0.5, "0.5"),
        ("ratio", 1e-7, "0.0000001"),
        ("level", "LOW", "LOW"),
        ("wait", 0.0, "0s"),
        ("wait", 0.25, "250ms"),
        ("wait", 600.0, "10m"),
        ("wait", 5400.0, "1h 30m"),
        ("wait", 1.5, "1.5s"),
        ("wait", 90_061.0, "1d 1h 1m 1s"),
        ("room", 64 * 1024**2, "64MiB"),
        ("room", 1536, "1536B"),
        ("room", 0, "0B"),
        ("room", 2048 * 1024**4, "2048TiB"),
        ("some", (), ""),
        ("some", ("a", "b c"), "a, b c"),
        ("some", ("a,b", "c"), '["a,b", "c"]'),
        ("some", ("{a}",), '["{a}"]'),
        ("some", ("\0",), '["\\u0000"]'),
    ],
)
def test_format_value_is_readable(name: str, value: object, shown: str) -> None:
    assert OPTIONS[name].format(value) == shown


@given(
    st.sampled_from(list(OPTIONS.values())),
    st.one_of(
        st.integers().map(str),
        st.floats().map(repr),
        st.floats(0, 1).map(repr),
        st.lists(st.text()).map(json.dumps),
        st.text(),
        st.sampled_from(["on", "off", "low"]),
    ),
)
def test_format_result_is_parsed_to_the_same_value(option: Option, text: str) -> None:
    try:
        value = option.parse(text)
    except BadOption:
        return
    assert option.parse(option.format(value)) == value


@given(st.floats(0, 1e12) | st.integers(0, 2**60).map(float))
def test_format_seconds_is_exact(value: float) -> None:
    assert OPTIONS["free"].parse(OPTIONS["free"].format(value)) == value


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("switch", True, True),
        ("count", 20, 20),
        ("wait", 1.5, 1.5),
        ("wait", "10m", 600.0),
        ("room", 1024, 1024),
        ("some", ["a", "b"], ("a", "b")),
        ("some", "a, b", ("a", "b")),
        ("text", "20", "20"),
    ],
)
def test_to_text_of_json_is_parsed(name: str, given: Any, value: object) -> None:
    assert OPTIONS[name].parse(to_text(given)) == value


@pytest.mark.parametrize(
    ("name", "given"), [("count", None), ("count", True), ("switch", []), ("some", {"a": 1})]
)
def test_to_text_of_another_json_type_is_refused(name: str, given: Any) -> None:
    assert json.dumps(given) in bad(name, to_text(given))


@pytest.mark.parametrize("length", [LONGEST_QUOTE, LONGEST_QUOTE + 1, 10 * LONGEST_QUOTE])
def test_shorten_has_at_most_the_longest_quote(length: int) -> None:
    text = shorten("x" * length)
    assert len(text) == LONGEST_QUOTE
    assert text.endswith("...") == (length > LONGEST_QUOTE)
