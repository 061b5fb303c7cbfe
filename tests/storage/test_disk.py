"""Free space, on real file systems of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.storage.disk import READING_SECONDS, DiskSpace, Space, Volume, measure, reserve_of

GIB = 1 << 30


def test_measured_missing_directory_reads_its_parent(tmp_path: Path) -> None:
    found = measure(Volume("storage", tmp_path / "not" / "there" / "yet"))
    disk = os.statvfs(tmp_path)
    assert found is not None
    assert 0 < found.free <= disk.f_blocks * disk.f_frsize
    assert found.reserve == reserve_of(disk.f_blocks * disk.f_frsize)


@pytest.mark.parametrize(
    ("total", "reserve"), [(24 << 20, int((24 << 20) * 0.05)), (40 * GIB, 2 * GIB), (4096 * GIB, 4 * GIB)]
)
def test_reserve_of_disk_is_a_share_with_an_upper_bound(total: int, reserve: int) -> None:
    assert reserve_of(total) == reserve


@pytest.mark.parametrize(("free", "size", "has_room"), [(100, 0, True), (99, 0, False), (150, 51, False)])
def test_space_below_its_reserve_has_a_reason(free: int, size: int, has_room: bool) -> None:
    assert (Space("storage", free, 100).why_no_room_for(size) == "") == has_room


def test_disk_space_check_of_more_than_is_free_raises_with_retry_after(tmp_path: Path) -> None:
    space = DiskSpace([Volume("temporary_files", tmp_path)])
    space.check()
    with pytest.raises(
        Unavailable, match=r"the disk of temporary files is full: [\d,]+ bytes are free"
    ) as caught:
        space.check(1 << 62)
    assert caught.value.retry_after == 60


def test_disk_space_readings_are_renewed_after_some_seconds(tmp_path: Path) -> None:
    now = [0.0]
    space = DiskSpace([Volume("storage", tmp_path)], clock=lambda: now[0])
    first = space.readings()
    assert space.readings() is first
    now[0] = READING_SECONDS
    assert space.readings() is not first
