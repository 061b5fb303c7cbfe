"""Options of symbolication, of the caches and of the log: a request has what is in force when it comes."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django import Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.current import overridden
from tecken.storage import services as storage_services
from tecken.store import services as store_services
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbolication.page_reader import read_header
from tecken.symbolication.trace import Trace
from tecken.symbols.pagefile.file import Header
from tests.symbolication.memory import CPP, SAMPLES, C
from tests.symbolication.samples import of_version_1

pytestmark = pytest.mark.django_db

IN_C = 0x1180
JOB = {"memoryMap": [list(C)], "stacks": [[[0, IN_C], [0, 5]]]}
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _site(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Iterator[None]:
    settings.STORAGE_URL = f"file://{tmp_path}"
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    services.discard_all()
    assert isinstance(symbolication_services.converter().convert(C), Header)
    yield
    services.discard_all()


def post(body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Client().post("/symbolicate/v5", content, content_type="text/plain", headers=headers)


@pytest.mark.parametrize(
    ("option", "value", "body", "status"),
    [
        ("symbolicate_max_jobs", 1, {"jobs": [JOB, JOB]}, 413),
        ("symbolicate_max_jobs", 11, {"jobs": [JOB] * 11}, 200),
        ("symbolicate_max_frames", 1, JOB, 413),
        ("symbolicate_max_body_bytes", 10, JOB, 413),
        ("symbolicate_max_answer_bytes", 10, JOB, 413),
        ("symbolicate_max_body_bytes", 20 * MIB, orjson.dumps(JOB) + b" " * 11 * MIB, 200),
    ],
)
def test_limits(option: str, value: int, body: Any, status: int) -> None:
    before = post(body).status_code
    with overridden(**{option: value}):
        assert post(body).status_code == status != before
    assert post(body).status_code == before


def test_an_unpacked_body_has_the_limit_too() -> None:
    packed = gzip.compress(orjson.dumps(JOB) + b" " * 1000)
    with overridden(symbolicate_max_body_bytes=500):
        reply = post(packed, **{"Content-Encoding": "gzip"})
    assert (reply.status_code, reply.json()) == (413, {"error": "The body is larger than 500 bytes"})


def test_the_deadline() -> None:
    assert views.parts().seconds == 15
    with overridden(symbolicate_deadline_seconds=0):
        reply = post({"memoryMap": [list(CPP)], "stacks": [[[0, 1]]]})
    assert (reply.status_code, "no worker has taken it up" in reply.json()["error"]) == (503, True)
    assert views.parts().seconds == 15


def test_page_file_and_stored_header_of_version_1_are_made_again_on_demand() -> None:
    header = symbolication_services.symbol_loader().headers([C], Trace())[C]
    assert isinstance(header, Header)
    (file,) = storage_services.page_files().read(C, [(0, header.span(header.page_count - 1)[1])])
    storage_services.page_files().write(C, [of_version_1(file)])
    store_services.page_store().put_header(C, of_version_1(header.raw))
    services.discard_all()
    with overridden(symbolicate_deadline_seconds=0):
        assert post(JOB).status_code == 503
    made = symbolication_services.worker().work(C)
    assert isinstance(made, Header)
    assert read_header(storage_services.page_files(), C) == made.raw == header.raw
    assert post(JOB).json()["results"][0]["found_modules"] == {str(C): True}


def sizes() -> dict[str, int]:
    return {
        "process_header_bytes": symbolication_services.header_cache().size,
        "process_page_bytes": symbolication_services.page_cache().size,
        "process_frame_bytes": views.frames().size,
    }


@pytest.mark.parametrize("option", ["process_header_bytes", "process_page_bytes", "process_frame_bytes"])
def test_a_cache_shrinks_at_once_and_grows_again(option: str) -> None:
    post(JOB)
    full = sizes()
    assert all(full.values())
    with overridden(**{option: 1}):
        assert sizes() == full | {option: 0}
        post(JOB)
        assert sizes()[option] == 0
    post({"memoryMap": [list(C)], "stacks": [[[0, IN_C], [0, 5], [0, IN_C + 1]]]})
    assert sizes()[option] > 0


def test_a_cache_of_parts_built_anew_has_the_bytes_in_force() -> None:
    post(JOB)
    with overridden(process_page_bytes=1):
        services.discard_all()
        post(JOB)
        assert symbolication_services.page_cache().size == 0
    post({"memoryMap": [list(C)], "stacks": [[[0, IN_C + 1]]]})
    assert symbolication_services.page_cache().size > 0


def test_how_long_a_header_is_trusted() -> None:
    def keys_asked() -> int:
        return int(post(JOB, Debug="1").json()["debug"]["cache_lookups"]["count"])

    while keys_asked():
        pass  # whoever begins to listen for replaced modules trusts no header that was there before
    with overridden(process_header_seconds=0):
        assert keys_asked() > 0
    assert keys_asked() == 0


def test_full_tracing_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tecken.trace")
    post(JOB)
    assert caplog.records == []
    with overridden(full_tracing=True):
        assert "debug" not in post(JOB).json()
    post(JOB)
    (record,) = caplog.records
    line = orjson.loads(record.getMessage())
    assert (line["version"], line["stacks"]["count"], record.name) == ("v5", 2, "tecken.trace")
    assert line.keys() >= {"time", "cache_lookups", "downloads", "parse_sym", "pages", "missing"}


def test_the_level_of_the_log() -> None:
    root = logging.getLogger()
    before = root.level
    try:
        current.follow_log_level()
        assert root.level == logging.INFO
        with overridden(log_level="DEBUG"):
            assert root.level == logging.DEBUG
        assert root.level == logging.INFO
    finally:
        root.setLevel(before)
