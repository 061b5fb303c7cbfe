from __future__ import annotations

import pytest

from tecken.errors import NotFound
from tecken.runtimeconfig import service
from tecken.runtimeconfig.service import difference
from tests.runtimeconfig.backends import MemoryBackend

pytestmark = pytest.mark.django_db
WINDOW = "symbolicate_max_jobs@2026-11-21T22:00:00Z/"


@pytest.fixture(autouse=True)
def three_versions(backend: MemoryBackend) -> None:
    for changes in (
        {"symbolicate_max_jobs": "20", "log_level": "DEBUG"},
        {WINDOW: "30", "symbolicate_max_frames": "5"},
        {"log_level": None},
    ):
        service.change(changes, by="alice", source="cli")


def test_find_changes_lists_the_newest_first() -> None:
    rows = [(one.version.number, one.entry, one.old, one.new) for one in service.find_changes()]
    assert rows == [
        (3, "log_level", "DEBUG", None),
        (2, "symbolicate_max_frames", None, "5"),
        (2, WINDOW, None, "30"),
        (1, "log_level", None, "DEBUG"),
        (1, "symbolicate_max_jobs", None, "20"),
    ]


def test_find_changes_of_an_option_includes_its_windows() -> None:
    entries = [change.entry for change in service.find_changes("symbolicate_max_jobs")]
    assert entries == [WINDOW, "symbolicate_max_jobs"]
    assert not service.find_changes("symbolicate").exists()


def test_find_texts_returns_all_texts_of_a_version() -> None:
    assert service.find_texts(0) == {}
    assert service.find_texts(1) == {"log_level": "DEBUG", "symbolicate_max_jobs": "20"}
    assert service.find_texts(3) == {
        "symbolicate_max_frames": "5",
        "symbolicate_max_jobs": "20",
        WINDOW: "30",
    }
    with pytest.raises(NotFound, match="no version 4; the newest is 3"):
        service.find_texts(4)


def test_difference_of_two_versions_in_any_order() -> None:
    assert service.difference(service.find_texts(1), service.find_texts(3)) == {
        "log_level": ("DEBUG", None),
        "symbolicate_max_frames": (None, "5"),
        WINDOW: (None, "30"),
    }
    assert service.difference(service.find_texts(3), service.find_texts(1))["log_level"] == (None, "DEBUG")
    assert service.difference(service.find_texts(2), service.find_texts(2)) == {}


def test_difference_distinguishes_empty_from_unset() -> None:
    assert difference({"sources_off": ""}, {}) == {"sources_off": ("", None)}
