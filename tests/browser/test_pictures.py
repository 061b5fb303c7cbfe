"""The pictures in the documents are of pages that there are, and not heavy."""

from __future__ import annotations

from tests.browser.pictures import IMAGES, KINDS, SCENES

HEAVIEST = 3_000_000  # bytes, together


def test_each_page_is_there_in_light_dark_and_on_a_phone() -> None:
    expected = {f"{name}-{kind}.webp" for name in SCENES for kind in KINDS}
    assert {path.name for path in IMAGES.iterdir()} == expected


def test_they_are_light() -> None:
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < HEAVIEST
