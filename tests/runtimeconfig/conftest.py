from __future__ import annotations

import pytest

from tecken.runtimeconfig import current
from tecken.runtimeconfig.backends.memory import MemoryBackend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """This test's own, for everything that asks for the process's backend."""
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine
