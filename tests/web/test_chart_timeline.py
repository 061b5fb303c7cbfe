from __future__ import annotations

import pytest

from tecken.web.charts import COLUMNS, HEIGHT, MARKS, WIDTH, Reading, Timeline, draw_timeline

NOW = 1_800_000_000.0  # 08:00 UTC
EVERY = 30.0


def draw(readings: list[Reading], hours: int = 24, **more: float) -> Timeline:
    return draw_timeline(readings, hours, NOW, "{:g}".format, **more)


def steady(start: float, end: float, value: float = 10.0) -> list[Reading]:
    return [(NOW - end + n * EVERY, value) for n in range(int((end - start) / EVERY) + 1)]


def test_timeline_of_steady_value_is_one_line() -> None:
    chart = draw(steady(0, 86_400))
    (line,) = chart.lines
    first, *_others, last = line.split(" L")
    assert float(first[1:].split()[0]) < 2 * WIDTH / COLUMNS
    assert float(last.split()[0]) > WIDTH - 2 * WIDTH / COLUMNS
    assert line.count("L") <= COLUMNS
    assert chart.areas[0].endswith("Z")
    assert chart.latest == "10"


def test_timeline_unknown_value_is_gap() -> None:
    chart = draw([*steady(50_000, 86_400), (NOW - 45_000, None), *steady(0, 40_000)])
    assert len(chart.lines) == len(chart.areas) == 2


def test_timeline_single_reading_is_visible() -> None:
    (line,) = draw([(NOW - 100, 5.0)], hours=1).lines
    assert "L" in line


@pytest.mark.parametrize("hours", MARKS)
def test_timeline_omits_older_readings(hours: int) -> None:
    chart = draw([(NOW - hours * 3600 - 1, 5.0)], hours)
    assert (chart.lines, chart.latest) == ([], "")
    assert 2 <= len(chart.across) <= 5
    assert all(0 <= tick.at <= WIDTH for tick in chart.across)


def test_timeline_axis_starts_at_0_and_includes_limit() -> None:
    chart = draw(steady(0, 3600), hours=1, limit=80.0)
    assert (chart.up[0].label, chart.up[0].at) == ("0", HEIGHT)
    assert float(chart.up[-1].label) >= 80
    assert chart.limit is not None
    assert 0 <= chart.limit < HEIGHT / 2


def test_timeline_of_share_has_fixed_axis() -> None:
    assert [tick.label for tick in draw([], most=1).up] == ["0", "0.5", "1"]


def test_timeline_marks_are_at_round_times() -> None:
    assert [tick.label for tick in draw([], hours=24).across] == ["12:00", "18:00", "00:00", "06:00"]


def test_timeline_latest_unknown_is_empty() -> None:
    assert draw([(NOW - 30, 5.0), (NOW, None)]).latest == ""
    assert draw([(NOW - 30, 5.0)]).latest == "5"
    assert draw([(NOW - 3000, 5.0)]).latest == ""
