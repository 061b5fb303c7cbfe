from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stamina
from stamina.instrumentation import set_on_retry_hooks

from tests.client.server import SymbolServer
from tests.support.redis_server import free_port
from tests.support.tls import Front, Papers, papers

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


@pytest.fixture(scope="module")
def trusted() -> Iterator[Papers]:
    """Return an authority, and a certificate of it for 127.0.0.1."""
    with papers() as made:
        yield made


@pytest.fixture
def secure_url(server: SymbolServer, trusted: Papers) -> Iterator[str]:
    """Return the address of the server behind TLS, with the certificate of that authority."""
    port = free_port()
    with closing(Front(trusted, port, int(server.url.rpartition(":")[2]))):
        yield f"https://127.0.0.1:{port}"
