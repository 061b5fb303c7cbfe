from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.web.charts import ChartFrame, round_axis, treemap

SIZES = st.lists(st.integers(0, 100_000), max_size=40)


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0, 97, (0, 20, 40, 60, 80, 100)),
        (3, 3, (3, 3.2, 3.4, 3.6, 3.8, 4)),
        (1200, 2100, (1200, 1400, 1600, 1800, 2000, 2200)),
    ],
)
def test_round_axis_has_round_marks(low: float, high: float, marks: tuple[float, ...]) -> None:
    assert round_axis(low, high).marks == pytest.approx(marks)


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**9))
def test_round_axis_includes_both_ends(low: int, length: int) -> None:
    axis = round_axis(low, low + length)
    assert axis.low <= low + abs(low) * 1e-9
    assert axis.high >= low + length - abs(low) * 1e-9
    assert 2 <= len(axis.marks) <= 12


def test_frame_draws_larger_values_higher() -> None:
    frame = ChartFrame(round_axis(0, 10), round_axis(0, 100), width=100, height=50)
    assert frame.line([(0, 0), (5, 50), (10, 100)]) == "M0.0 50.0 L50.0 25.0 L100.0 0.0"
    assert frame.steps([(0, 0), (5, 100)]) == "M0.0 50.0 L50.0 50.0 L50.0 0.0 L50.0 0.0"
    assert frame.area([(0, 0), (10, 100)]).endswith("L100.0 50 L0.0 50 Z")


def test_frame_without_points_draws_nothing() -> None:
    frame = ChartFrame(round_axis(0, 1), round_axis(0, 1))
    assert frame.line([]) == frame.steps([]) == frame.area([]) == ""


@given(SIZES)
def test_treemap_tiles_have_proportional_areas(sizes: list[int]) -> None:
    tiles = treemap(sizes, 800, 300)
    assert sorted(tile.item for tile in tiles) == [item for item, size in enumerate(sizes) if size > 0]
    for tile in tiles:
        assert -1e-6 <= tile.x <= tile.x + tile.width <= 800 + 1e-6
        assert -1e-6 <= tile.y <= tile.y + tile.height <= 300 + 1e-6
        assert tile.width * tile.height == pytest.approx(sizes[tile.item] / sum(sizes) * 800 * 300)


def test_treemap_equal_tiles_are_nearly_square() -> None:
    for tile in treemap([1] * 12, 400, 300):
        assert 0.5 <= tile.width / tile.height <= 2
