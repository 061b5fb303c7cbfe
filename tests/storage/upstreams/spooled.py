"""Plugin with the readers of native files of an upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.storage.upstreams.natives import Natives, natives_of
from tests.support.http_upstream import HttpUpstream


@pytest.fixture
def natives(tmp_path: Path, settings: Settings, upstream: HttpUpstream) -> Iterator[Natives]:
    """Readers of an upstream that spool into a directory of the test."""
    spool = tmp_path / "spool"
    spool.mkdir()
    settings.SPOOL_DIR = str(spool)
    with natives_of(upstream, spool) as found:
        yield found
