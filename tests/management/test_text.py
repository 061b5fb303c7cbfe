from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

import pytest

from tecken.management.text import duration, format_time, moment

NOW = datetime(2026, 11, 21, 22, 30, 15, 999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("10m", "2026-11-21 22:40:15"),
        ("1h 30m", "2026-11-22 00:00:15"),
        ("23:00", "2026-11-21 23:00:00"),
        ("22:30", "2026-11-22 22:30:00"),
        ("23:00:30", "2026-11-21 23:00:30"),
        ("23:30+02:00", "2026-11-22 21:30:00"),
        ("2026-12-01", "2026-12-01 00:00:00"),
        ("2026-12-01 08:00", "2026-12-01 08:00:00"),
        ("2026-12-01T08:00:00Z", "2026-12-01 08:00:00"),
        ("2026-12-01T08:00:00+01:00", "2026-12-01 07:00:00"),
    ],
)
def test_moment_of_each_form_is_parsed(text: str, when: str) -> None:
    assert format_time(moment(text, NOW)) == f"{when} UTC"


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10", "10 parsecs", "99999999999d", "2026-13-01"])
def test_moment_of_other_text_fails(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"should be a time \(UTC\) such as 10m"):
        moment(text, NOW)


def test_duration_of_each_form_is_in_seconds() -> None:
    assert [duration(text) for text in ("30", "90s", "10m", "1.5")] == [30, 90, 600, 1.5]
    with pytest.raises(ArgumentTypeError, match="a duration such as 30s"):
        duration("soon")
