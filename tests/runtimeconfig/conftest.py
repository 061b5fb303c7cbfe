from __future__ import annotations

import pytest

from tecken.runtimeconfig import current
from tests.runtimeconfig.backends import MemoryBackend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """Replace the backend of the process by one of this test."""
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine
