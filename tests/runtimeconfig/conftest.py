from __future__ import annotations

import pytest

from tecken.runtimeconfig import current
from tecken.runtimeconfig.memory import MemoryShelf


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> MemoryShelf:
    """This test's own, for everything that asks for the process's shelf."""
    mine = MemoryShelf()
    monkeypatch.setattr(current, "shelf", lambda: mine)
    return mine
