from __future__ import annotations

import pytest

from tecken.web.charts.timeline import COLUMNS, HEIGHT, MARKS, WIDTH, Reading, Timeline, timeline

NOW = 1_800_000_000.0  # 08:00 UTC
EVERY = 30.0


def drawn(readings: list[Reading], hours: int = 24, **more: float) -> Timeline:
    return timeline(readings, hours, NOW, "{:g}".format, **more)


def steady(start: float, end: float, value: float = 10.0) -> list[Reading]:
    return [(NOW - end + n * EVERY, value) for n in range(int((end - start) / EVERY) + 1)]


def test_a_day_of_one_value_is_one_line_from_edge_to_edge() -> None:
    told = drawn(steady(0, 86_400))
    (line,) = told.lines
    first, *_others, last = line.split(" L")
    assert float(first[1:].split()[0]) < 2 * WIDTH / COLUMNS
    assert float(last.split()[0]) > WIDTH - 2 * WIDTH / COLUMNS
    assert line.count("L") <= COLUMNS
    assert told.areas[0].endswith("Z")
    assert told.latest == "10"


def test_where_nobody_could_tell_is_a_gap() -> None:
    told = drawn([*steady(50_000, 86_400), (NOW - 45_000, None), *steady(0, 40_000)])
    assert len(told.lines) == len(told.areas) == 2


def test_one_reading_can_be_seen() -> None:
    (line,) = drawn([(NOW - 100, 5.0)], hours=1).lines
    assert "L" in line


@pytest.mark.parametrize("hours", MARKS)
def test_what_is_older_is_not_drawn(hours: int) -> None:
    told = drawn([(NOW - hours * 3600 - 1, 5.0)], hours)
    assert (told.lines, told.latest) == ([], "")
    assert 2 <= len(told.across) <= 5
    assert all(0 <= tick.at <= WIDTH for tick in told.across)


def test_the_axis_begins_at_0_and_has_room_for_a_limit() -> None:
    told = drawn(steady(0, 3600), hours=1, limit=80.0)
    assert (told.up[0].label, told.up[0].at) == ("0", HEIGHT)
    assert float(told.up[-1].label) >= 80
    assert told.limit is not None
    assert 0 <= told.limit < HEIGHT / 2


def test_a_share_has_the_same_axis_always() -> None:
    assert [tick.label for tick in drawn([], most=1).up] == ["0", "0.5", "1"]


def test_marks_are_at_round_times() -> None:
    assert [tick.label for tick in drawn([], hours=24).across] == ["12:00", "18:00", "00:00", "06:00"]


def test_the_latest_is_not_known_while_nobody_can_tell() -> None:
    assert drawn([(NOW - 30, 5.0), (NOW, None)]).latest == ""
    assert drawn([(NOW - 30, 5.0)]).latest == "5"
    assert drawn([(NOW - 3000, 5.0)]).latest == ""
