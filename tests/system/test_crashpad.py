"""Crash reports that the handler of Crashpad sends to a whole site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.oracle.minidumps import comparable, differences, find_stackwalk, run_stackwalk
from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.symbolication.crash_dumps.jobs import crash_dump
from tests.symbolication.memory import SAMPLES
from tests.system.crashpad import CLIENT_ID, ENDS_WITHIN, CrashpadDatabase
from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("crashpad")  # all tests share a site and a crash
PLACES = 2
MAX_BYTES = 4 << 20


@pytest.fixture(scope="module")
def chromium_dump(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the dump of a crash of Chromium that its handler has written."""
    database = CrashpadDatabase(tmp_path_factory.mktemp("chromium") / "crashpad")
    database.crash_chromium()
    (path,) = database.reports("pending")
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path) -> CrashpadDatabase:
    return CrashpadDatabase(tmp_path / "crashpad")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    options = {"minidump_client_dumps": PLACES, "minidump_max_bytes": MAX_BYTES}
    with Site(home, options, SYMBOL_SOURCES=SAMPLES.as_uri()) as site:
        yield site


def target(site: Site) -> str:
    return f"{site.url}/process/minidump"


def report(site: Site, dump_id: str) -> Any:
    """Return the report of a dump when it is ready."""
    url = f"{target(site)}/{dump_id}"
    wait_until(lambda: httpx.get(url, timeout=60).status_code == 200, ENDS_WITHIN, "the report is ready")
    return httpx.get(url, timeout=60).json()


def parts(report: Any) -> Any:
    """Return the parts of a report that must be equal, without the analysis of the instruction.

    The signal meets any instruction of Chromium, and docs/minidumps.md lists some that differ.
    """
    found = comparable(report)
    crash = {key: found["crash"][key] for key in ("type", "address", "crashing_thread")}
    return orjson.loads(orjson.dumps({**found, "crash": crash}))


@pytest.mark.parametrize("arguments", [(), ("--no-upload-gzip",)], ids=["gzip", "plain"])
def test_crash_of_chromium_is_sent_and_reported(
    chromium_dump: bytes, database: CrashpadDatabase, site: Site, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    database.add(chromium_dump)
    database.upload(target(site), *arguments)
    (dump_id,) = database.ids()
    found = report(site, dump_id)
    assert found["crash_info"]["type"].startswith("SIGSEGV")
    assert found["modules"][found["main_module"]]["filename"] == "chromium"
    crashpad = found["crashpad"]
    assert crashpad["client_id"] == CLIENT_ID.hex
    assert crashpad["simple_annotations"]["prod"] == "Chrome_Linux"
    assert crashpad["modules"][0]["annotation_objects"]["ptype"] == "browser"
    if program := find_stackwalk():
        theirs = run_stackwalk(program, chromium_dump, tmp_path)
        assert list(differences(parts(found), parts(theirs))) == []


def test_many_reports_of_one_handler_are_all_sent(database: CrashpadDatabase, site: Site) -> None:
    for _ in range(5 * PLACES):
        database.add(crash_dump())
    database.upload(target(site))
    ids = database.ids()
    assert len(set(ids)) == 5 * PLACES
    assert {report(site, dump_id)["crash_info"]["crashing_thread"] for dump_id in ids} == {0}


def test_report_that_was_not_sent_waits_for_a_request(database: CrashpadDatabase, site: Site) -> None:
    database.add(crash_dump())
    database.upload(f"http://127.0.0.1:{free_port()}/process/minidump")
    assert database.ids() == [""]
    # The handler does not send the first one with the second.
    database.add(crash_dump())
    database.upload(target(site))
    assert sorted(map(bool, database.ids())) == [False, True]
    database.request_upload()
    database.upload(target(site))
    assert all(database.ids())


def test_report_that_is_too_large_is_not_sent(database: CrashpadDatabase, site: Site) -> None:
    database.add(b"MDMP" + bytes(MAX_BYTES))
    assert "HTTP status 413" in database.upload(target(site))
    assert database.ids() == [""]
