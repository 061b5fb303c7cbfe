"""Reports of real dumps, with symbols from page files and the store, are those of minidump-stackwalk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import orjson
import pytest
import pytest_django

from tecken import services
from tecken.symbolication.crash_dumps.services import process_here
from tests.oracle.minidumps import DUMPS, EXPECTED, comparable, differences, read_dump, read_symbols, unpack

pytestmark = pytest.mark.django_db


@pytest.fixture
def _symbols(tmp_path: Path, settings: pytest_django.Settings, clear_redis_store: None) -> Iterator[None]:
    """Give the site the symbol files of the dumps."""
    for (debug_file, debug_id), sym in read_symbols().items():
        folder = tmp_path / "symbols" / debug_file / debug_id
        folder.mkdir(parents=True)
        (folder / f"{debug_file.removesuffix('.pdb')}.sym").write_bytes(sym)
    (tmp_path / "storage").mkdir()
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    settings.SYMBOL_SOURCES = [(tmp_path / "symbols").as_uri()]
    services.discard_all()
    yield
    services.discard_all()


def process(content: bytes) -> Any:
    with TemporaryFile() as file:
        file.write(content)
        return orjson.loads(process_here(file, lambda _module: None).report)


@pytest.mark.usefixtures("_symbols")
def test_reports_of_a_site_are_those_of_stackwalk() -> None:
    expected = orjson.loads(unpack(EXPECTED))
    different = {}
    for name in DUMPS:
        report = process(read_dump(name))
        if found := list(differences(comparable(report), expected[name])):
            different[name] = found
    assert different == {}
