from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.runtimeconfig.backend import Maintenance, format_maintenance, parse_maintenance

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))


@given(
    st.builds(
        Maintenance,
        message=st.text(),
        retry_after=st.none() | st.floats(0, 1e8),
        until=MOMENTS,
        by=st.text(),
        since=MOMENTS,
    )
)
def test_parse_maintenance_of_a_formatted_text_returns_the_same(maintenance: Maintenance) -> None:
    assert parse_maintenance(format_maintenance(maintenance)) == maintenance


@given(st.text())
def test_parse_maintenance_of_any_text_is_maintenance(text: str) -> None:
    assert isinstance(parse_maintenance(text), Maintenance)


@pytest.mark.parametrize("text", ["", "x", "0", "false", "no", "null", "[]", "{", "[" * 100_000, '"x"'])
def test_parse_maintenance_of_other_text_has_defaults(text: str) -> None:
    assert parse_maintenance(text) == Maintenance()


@pytest.mark.parametrize(
    "text",
    [
        '{"message": 1, "retry_after": "soon", "until": "soon", "by": null, "since": 3}',
        '{"retry_after": true}',
        '{"retry_after": -1}',
        '{"retry_after": NaN}',
        '{"retry_after": Infinity}',
        '{"until": "0001-01-01T00:00:00+23:00"}',
    ],
)
def test_parse_maintenance_omits_invalid_fields(text: str) -> None:
    assert parse_maintenance(text) == Maintenance()


def test_parse_maintenance_of_some_fields_has_defaults_for_others() -> None:
    text = '{"message": "Moving house", "until": "2026-11-21T13:00:00+01:00"}'
    assert parse_maintenance(text) == Maintenance("Moving house", until=NOON)
    assert parse_maintenance('{"until": "2026-11-21T12:00:00"}') == Maintenance(until=NOON)


def test_parse_maintenance_returns_utc() -> None:
    there = timezone(timedelta(hours=1))
    shown = parse_maintenance(format_maintenance(Maintenance(until=NOON.astimezone(there), since=NOON)))
    assert (shown.until, shown.since) == (NOON, NOON)
    assert shown.until is not None
    assert shown.until.tzinfo is UTC
