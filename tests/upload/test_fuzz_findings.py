"""Inputs that `bench/fuzz_upload.py` found, reduced."""

from __future__ import annotations

from io import BytesIO

import pytest

from tecken.errors import InvalidInput
from tecken.upload.archive import ArchiveLimits, list_members
from tecken.upload.zip_archive import open_zip
from tests.upload.zips import zipped

LIMITS = ArchiveLimits(unpacked=1 << 20, member=1 << 20, members=10, ratio=100)


def test_list_members_entry_without_a_name_is_refused() -> None:
    """Until Python 3.12, `ZipInfo.is_dir` raises IndexError for such an entry."""
    with (
        open_zip(BytesIO(zipped({"": b"x"})), LIMITS) as archive,
        pytest.raises(InvalidInput, match="pattern"),
    ):
        list_members(archive, LIMITS)
