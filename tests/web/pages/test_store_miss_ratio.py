from __future__ import annotations

from tecken.monitoring.health.measurements import Sizing
from tecken.store.miss_ratio import Entries, MissRatioCurve
from tecken.web.pages.store import HEIGHT, WIDTH, draw_curve, sizing_rows

MB, GB = 10**6, 10**9
CURVE = MissRatioCurve((10 * MB, 100 * MB, GB, 3 * GB), (0.2, 0.6, 0.92, 0.97), 50_000, 5000)
SIZING = Sizing(0, CURVE, (GB, 3 * GB, None), Entries(0, 0, ()))


def test_sizing_rows_have_needs_and_estimates() -> None:
    assert sizing_rows(SIZING) == [(0.9, GB, None), (0.95, 3 * GB, 2 * GB), (0.99, None, 6 * GB)]


def test_draw_curve_marks_are_inside() -> None:
    chart = draw_curve(SIZING, 500 * MB)
    assert chart
    assert chart.present
    assert chart.present.label == "60.0 % with 500 MB"
    assert [mark.label for mark in chart.needs] == ["90.0 % with 1.0 GB", "95.0 % with 3.0 GB"]
    assert [mark.label for mark in chart.estimates] == ["95.0 % with 2.0 GB", "99.0 % with 6.0 GB"]
    marks = [*chart.needs, chart.present, *chart.estimates]
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in marks)
    assert [tick.label for tick in chart.across] == ["10 MB", "100 MB", "1 GB"]


def test_draw_curve_short_axis_has_marks_between() -> None:
    curve = MissRatioCurve((40 * MB, 90 * MB), (0.5, 0.96), 50_000, 5000)
    chart = draw_curve(SIZING._replace(curve=curve), None)
    assert chart
    assert chart.present is None
    assert [tick.label for tick in chart.across] == ["10 MB", "20 MB", "50 MB", "100 MB"]


def test_draw_curve_omits_distant_estimates() -> None:
    curve = MissRatioCurve((4 * MB, 90 * MB), (0.5, 0.96), 50_000, 5000)
    small = draw_curve(SIZING._replace(curve=curve), 100 * MB)
    assert small
    assert small.estimates == []


def test_draw_curve_with_huge_limit_includes_it() -> None:
    chart = draw_curve(SIZING._replace(curve=MissRatioCurve((1000,), (0.9,), 5000, 5000)), 64 * GB)
    assert chart
    assert chart.present
    assert chart.present.x > WIDTH * 0.9
    assert len(chart.across) <= 10


def test_draw_curve_without_points_is_none() -> None:
    assert draw_curve(SIZING._replace(curve=MissRatioCurve((), (), 5000, 5000)), GB) is None
