from __future__ import annotations

from tecken.monitoring.health.sizing import Sizing
from tecken.store.miss_ratio import Curve, Entries
from tecken.web.charts.miss_ratio import HEIGHT, WIDTH, picture, rows

MB, GB = 10**6, 10**9
CURVE = Curve((10 * MB, 100 * MB, GB, 3 * GB), (0.2, 0.6, 0.92, 0.97), 50_000, 5000)
TOLD = Sizing(0, CURVE, (GB, 3 * GB, None), Entries(0, 0, ()))


def test_memory_is_read_off_beside_the_estimate() -> None:
    assert rows(TOLD) == [(0.9, GB, None), (0.95, 3 * GB, 2 * GB), (0.99, None, 6 * GB)]


def test_all_that_is_marked_is_inside() -> None:
    drawn = picture(TOLD, 500 * MB)
    assert drawn
    assert drawn.now
    assert drawn.now.label == "60.0 % with 500 MB"
    assert [mark.label for mark in drawn.needs] == ["90.0 % with 1.0 GB", "95.0 % with 3.0 GB"]
    assert [mark.label for mark in drawn.estimates] == ["95.0 % with 2.0 GB", "99.0 % with 6.0 GB"]
    marks = [*drawn.needs, drawn.now, *drawn.estimates]
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in marks)
    assert [tick.label for tick in drawn.across] == ["10 MB", "100 MB", "1 GB"]


def test_sizes_of_one_decade_have_marks_between() -> None:
    curve = Curve((40 * MB, 90 * MB), (0.5, 0.96), 50_000, 5000)
    drawn = picture(TOLD._replace(curve=curve), None)
    assert drawn
    assert drawn.now is None
    assert [tick.label for tick in drawn.across] == ["10 MB", "20 MB", "50 MB", "100 MB"]


def test_estimates_that_are_far_away_are_not_drawn() -> None:
    curve = Curve((4 * MB, 90 * MB), (0.5, 0.96), 50_000, 5000)
    small = picture(TOLD._replace(curve=curve), 100 * MB)
    assert small
    assert small.estimates == []


def test_a_store_far_larger_than_needed() -> None:
    drawn = picture(TOLD._replace(curve=Curve((1000,), (0.9,), 5000, 5000)), 64 * GB)
    assert drawn
    assert drawn.now
    assert drawn.now.x > WIDTH * 0.9
    assert len(drawn.across) <= 10


def test_a_curve_without_a_point() -> None:
    assert picture(TOLD._replace(curve=Curve((), (), 5000, 5000)), GB) is None
