from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from tecken import services
from tests.support import mozilla_tables
from tests.support.postgres import PostgresServer, binary

SAMPLES = Path(__file__).parents[1] / "data" / "samples"

Manage = Callable[..., str]


@pytest.fixture
def house(tmp_path: Path, settings: Settings, clear_redis_store: None, db: None) -> Iterator[Settings]:
    """Empty storage, empty servers, and the samples as the only upstream."""
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    services.discard_all()
    yield settings
    services.discard_all()


@pytest.fixture
def manage(house: Settings) -> Manage:
    """Return a function that runs a command and returns its output; `stderr` may be a StringIO."""

    def run(*args: str, stderr: io.StringIO | None = None) -> str:
        stdout = io.StringIO()
        call_command(*args, stdout=stdout, stderr=stderr or io.StringIO(), no_color=True)
        return stdout.getvalue()

    return run


@pytest.fixture(scope="session")
def mozilla_database() -> Iterator[str]:
    """Return the URL of a database with the tables of Mozilla's Tecken."""
    try:
        binary("postgres")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with PostgresServer() as server:
        mozilla_tables.create(server.url)
        yield server.url
