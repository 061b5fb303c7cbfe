from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import BadOption
from tecken.runtimeconfig.snapshot import LONGEST_KEY, Entry, parse_entry
from tests.runtimeconfig.texts import refusal

TEN = datetime(2026, 11, 21, 22, tzinfo=UTC)
ELEVEN = TEN + timedelta(hours=1)
SECOND = timedelta(seconds=1)
KEY = "symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z"

instants = st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(microsecond=0))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("symbolicate_max_jobs", Entry("symbolicate_max_jobs")),
        (KEY, Entry("symbolicate_max_jobs", TEN, ELEVEN)),
        ("symbolicate_max_jobs@2026-11-21T22:00:00Z/", Entry("symbolicate_max_jobs", TEN)),
        ("a@2026-11-21T23:00:00+01:00/2026-11-21T18:00-05:00", Entry("a", TEN, ELEVEN)),
    ],
)
def test_parse_entry_with_or_without_a_window(key: str, expected: Entry) -> None:
    assert parse_entry(key) == expected


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("a@", "START/END"),
        ("a@2026-11-21T22:00:00Z", "START/END"),
        ("a@/", "such as 2026-11-21T22:00:00Z, not ''"),
        ("a@/2026-11-21T22:00:00Z", "not ''"),
        ("a@22:00/23:00", "not '22:00'"),
        ("a@2026-11-21T22:00:00/", "not '2026-11-21T22:00:00'"),  # whose ten o'clock?
        ("a@2026-11-21T22:00:00.5Z/", "not '2026-11-21T22:00:00.5Z'"),
        ("a@0001-01-01T00:00:00+12:00/", "not '0001-01-01T00:00:00"),
        ("a@2026-11-21T22:00:00Z/tomorrow", "not 'tomorrow'"),
        ("a@2026-11-21T22:00:00Z/2026-11-21T22:00:00Z", "end after its start 2026-11-21T22:00:00Z"),
        ("a@2026-11-21T22:00:00Z/2026-11-21T21:00:00Z", "not at 2026-11-21T21:00:00Z"),
        ("a@" + LONGEST_KEY * "2", f"at most {LONGEST_KEY}"),
    ],
)
def test_parse_entry_invalid_window_raises(key: str, says: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse_entry(key)
    assert says in str(caught.value)
    assert key[:20] in str(caught.value)


@given(st.text())
def test_parse_entry_of_any_text_returns_or_raises_bad_option(text: str) -> None:
    error = refusal(parse_entry, text)
    assert len(error) < 2000
    assert error or "@" in text or parse_entry(text).key == text


@given(instants, st.none() | st.integers(1, 10**9), st.integers(-23, 23))
def test_entry_key_is_normalized(start: datetime, length: int | None, hours: int) -> None:
    try:
        end = None if length is None else start + length * SECOND
        elsewhere = start.astimezone(timezone(timedelta(hours=hours)))
    except OverflowError:
        return
    one = Entry("a", start, end)
    assert parse_entry(one.key) == one
    assert parse_entry(f"a@{elsewhere.isoformat()}/{end.isoformat() if end else ''}").key == one.key


def test_entry_holds_from_start_until_before_end() -> None:
    one = parse_entry(KEY)
    moments = [TEN - SECOND, TEN, ELEVEN - SECOND, ELEVEN]
    assert [one.holds(now) for now in moments] == [False, True, True, False]


def test_entry_without_window_always_holds() -> None:
    always, from_ten = Entry("a"), Entry("a", TEN)
    assert always.holds(datetime.min.replace(tzinfo=UTC))
    assert from_ten.holds(datetime.max.replace(tzinfo=UTC))
    assert not from_ten.holds(TEN - SECOND)


def test_entry_precedence_is_later_start_then_earlier_end() -> None:
    weakest_first = [
        Entry("a"),
        Entry("a", TEN),
        Entry("a", TEN, ELEVEN),
        Entry("a", TEN, TEN + SECOND),
        Entry("a", TEN + SECOND),
    ]
    shuffled = weakest_first[2:] + weakest_first[:2]
    assert sorted(shuffled, key=lambda entry: entry.precedence) == weakest_first
