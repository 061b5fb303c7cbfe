from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
from stamina.instrumentation import set_on_retry_hooks

from tests.client.server import SymbolServer

MakeSym = Callable[..., Path]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SymbolServer]:
    """Return the server that TECKEN_URL and TECKEN_TOKEN name."""
    with SymbolServer().running() as running:
        monkeypatch.setenv("TECKEN_URL", running.url)
        monkeypatch.setenv("TECKEN_TOKEN", "secret-of-ci")
        yield running


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """Make three attempts without pauses."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture(autouse=True)
def own_retry_hooks() -> Iterator[None]:
    yield
    set_on_retry_hooks(None)


@pytest.fixture
def make_sym(tmp_path: Path) -> MakeSym:
    """make_sym(path below tmp_path, debug file, debug id, more text)"""

    def make(
        path: str, name: str = "libx.so", debug_id: str = "A" * 33, more: str = "PUBLIC 10 0 f\n"
    ) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"MODULE Linux x86_64 {debug_id} {name}\n{more}")
        return file

    return make
