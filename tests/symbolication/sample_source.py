"""Fixture: a site that converts the sample modules; for a test module's `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_django

from tecken import services
from tests.support.options import Override
from tests.symbolication.memory import SAMPLES


@pytest.fixture
def sample_source(
    tmp_path: Path, settings: pytest_django.Settings, clear_redis_store: None, runtime_options: Override
) -> Iterator[None]:
    """Set the samples as the only source, an empty directory as storage, and requests that do not wait."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    runtime_options(symbolicate_deadline_seconds=0)
    services.discard_all()
    yield
    services.discard_all()
