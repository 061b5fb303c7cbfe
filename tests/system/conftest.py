"""Fixtures of the tests with programs that are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build import Build, need, serve


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    need("cc", "nm", "objcopy", "readelf")
    with serve(tmp_path_factory.mktemp("site")) as served:
        yield served


@pytest.fixture
def environment(build: Build, tmp_path: Path) -> dict[str, str]:
    """Without anything that a client has cached, under any of the names that clients use."""
    cache = str(tmp_path / "cache")
    return {**build.environment, "DEBUGINFOD_CACHE_PATH": cache, "HOME": cache, "XDG_CACHE_HOME": cache}
