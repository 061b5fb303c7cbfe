from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from tecken import services
from tecken.storage import services as storage_services
from tecken.symbols.layouts import FileKey

XUL = FileKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", "xul.sym")
PATH = f"/{XUL}"
TEXT = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\nPUBLIC 1000 0 main\n"
PACKED = gzip.compress(TEXT, mtime=0)
GZIP = {"Accept-Encoding": "gzip"}

Put = Callable[..., None]


@pytest.fixture
def storage(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Path:
    """Empty, for regular files and those of try builds; no upstream; nothing known."""
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    return tmp_path / "storage"


@pytest.fixture
def put(storage: Path) -> Put:
    """As an upload does."""

    def put(key: FileKey, content: bytes, *, of_try: bool = False) -> None:
        (storage_services.try_files() if of_try else storage_services.own_files()).put(key, [content])
        storage_services.presence_cache().forget_file(key)

    return put
