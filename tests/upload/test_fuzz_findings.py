"""What `bench/fuzz_upload.py` found, each smaller than it was found."""

from __future__ import annotations

from io import BytesIO

import pytest

from tecken.errors import BadInput
from tecken.upload.archive import Limits, listing, opened
from tests.upload.zips import zipped

LIMITS = Limits(unpacked=1 << 20, member=1 << 20, members=10, ratio=100)


def test_a_file_without_a_name() -> None:
    """zipfile's own `is_dir` is an IndexError for it, until Python 3.12."""
    with (
        opened(BytesIO(zipped({"": b"x"})), LIMITS.members) as archive,
        pytest.raises(BadInput, match="pattern"),
    ):
        listing(archive.infolist(), LIMITS)
