"""Modules whose native files are on other servers, from the request to the frame."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django import Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.jobs import sending
from tecken.runtimeconfig.current import overridden
from tecken.storage import services as storage_services
from tecken.storage.dump import find_engine
from tecken.storage.upstreams.layouts import UNKNOWN
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tests.storage.upstreams.natives import (
    CODE,
    CODE_MODULE,
    DEBUG_INFO,
    ELF_MODULE,
    PACKED_PDB,
    PDB,
    PDB_MODULE,
)
from tests.support.cabinets import cabinet
from tests.support.http_upstream import HttpUpstream, Reply
from tests.upload.natives import BUILD_ID, DATA, ELF_ID, convert

pytest_plugins = ["tests.support.upstreams"]
pytestmark = pytest.mark.django_db

ELF_FILE = (DATA / "libnative.so").read_bytes()
PDB_FILE = (DATA / "native.pdb").read_bytes()
IN_ELF, IN_PDB = 0x1335, 0x1012


@pytest.fixture(autouse=True)
def site(
    tmp_path: Path,
    settings: Settings,
    upstream: HttpUpstream,
    clear_redis_store: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[HttpUpstream]:
    """A site with a SymSrv server and a debuginfod server, which are one program here."""
    monkeypatch.setattr(storage_services, "find_engine", find_engine)
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    settings.SYMBOL_SOURCES = [f"symsrv+{upstream.url}", f"debuginfod+{upstream.url}"]
    services.discard_all()
    storage_services.build_ids()._client.flushdb()
    yield upstream
    for source in storage_services.upstreams():
        source.upstream.close()  # type: ignore[attr-defined]
    services.discard_all()


def frame(module: ObjectId, offset: int) -> dict[str, Any]:
    body = orjson.dumps({"memoryMap": [[*module]], "stacks": [[[0, offset]]]})
    reply = Client().post("/symbolicate/v5", body, "application/json").json()
    found: dict[str, Any] = reply["results"][0]["stacks"][0][0]
    return found


def missing(module: ObjectId) -> Missing:
    found = convert(module)
    assert isinstance(found, Missing)
    return found


def explained(module: ObjectId) -> str:
    return Client().get(f"/explain/{module}/").content.decode()


@pytest.mark.parametrize("packed", [False, True])
def test_module_of_a_symsrv_server_is_symbolicated(site: HttpUpstream, packed: bool) -> None:
    site.script[PACKED_PDB if packed else PDB] = Reply(body=cabinet(PDB_FILE) if packed else PDB_FILE)
    assert isinstance(convert(PDB_MODULE), Header)
    found = frame(PDB_MODULE, IN_PDB)
    assert found["function"].startswith("steps")
    assert (found["file"], found["line"]) == ("/build/src/native.c", 11)
    assert "There" in explained(PDB_MODULE)


def test_module_of_a_debuginfod_server_is_symbolicated(site: HttpUpstream) -> None:
    site.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    storage_services.build_ids().note([BUILD_ID])
    assert isinstance(convert(ELF_MODULE), Header)
    found = frame(ELF_MODULE, IN_ELF)
    assert (found["function"], found["file"], found["line"]) == ("steps", "/build/src/native.c", 11)
    # Of the SymSrv server, which may have the files of .NET.
    keys = f"_.debug/elf-buildid-sym-{BUILD_ID}/_.debug", f"libnative.so/elf-buildid-{BUILD_ID}/libnative.so"
    assert [request.path[1:] for request in site.requests] == [*keys, DEBUG_INFO[1:]]


def test_module_requested_by_its_whole_build_id_is_symbolicated(site: HttpUpstream) -> None:
    site.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    module = ObjectId.parse("libnative.so", BUILD_ID)
    assert isinstance(convert(module), Header)
    assert frame(module, IN_ELF)["line"] == 11
    assert missing(ObjectId("libnative.so", f"{BUILD_ID[:32]}00000000".upper())).kind == "absent"


def test_module_requested_by_its_code_id_is_symbolicated(site: HttpUpstream) -> None:
    site.script |= {CODE: Reply(body=(DATA / "native.exe").read_bytes()), PDB: Reply(body=PDB_FILE)}
    header = convert(CODE_MODULE)
    assert isinstance(header, Header)
    assert (header.metadata.code_file, header.metadata.code_id) == ("native.exe", CODE_MODULE.debug_id)
    assert frame(CODE_MODULE, IN_PDB)["line"] == 11


def test_module_without_a_whole_build_id_is_absent_with_the_reason(site: HttpUpstream) -> None:
    found = missing(ELF_MODULE)
    assert found.kind == "absent"
    assert found.reason.endswith(f"; {site.url}: {UNKNOWN}")
    page = explained(ELF_MODULE)
    assert UNKNOWN in page
    assert page.count("Upstream, for symbolication only") == 2
    assert site.requests == []


def test_report_with_the_build_id_has_the_module_searched_again(
    site: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    assert missing(ELF_MODULE)
    jobs: list[list[str]] = []
    monkeypatch.setattr(sending, "send_all", lambda sent: jobs.extend(job.arguments for job in sent))
    with overridden(symbolicate_deadline_seconds=0):
        Client().post("/symbolicate/", {"text": report(BUILD_ID)})
    assert jobs == [[*ELF_MODULE]]
    assert isinstance(convert(ELF_MODULE), Header)
    assert "steps" in Client().post("/symbolicate/", {"text": report(BUILD_ID)}).content.decode()


@pytest.mark.parametrize(
    "path",
    [
        f"/libnative.so/{ELF_ID}/libnative.so.sym?code_file=libnative.so&code_id={BUILD_ID}",
        f"/libnative.so/{BUILD_ID}/libnative.so.sym",
        f"/libnative.so/{BUILD_ID.upper()}/libnative.so.sym",
    ],
)
def test_download_with_the_build_id_makes_it_known(site: HttpUpstream, path: str) -> None:
    site.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    assert Client().get(path).status_code == 404
    assert site.requests == []
    assert isinstance(convert(ELF_MODULE), Header)


def test_download_with_a_code_id_of_another_module_makes_nothing_known(site: HttpUpstream) -> None:
    Client().get(f"/x/{'A' * 33}/x.sym?code_file=x&code_id={BUILD_ID}")
    assert storage_services.build_ids().find(ELF_ID) == []


@pytest.mark.parametrize(
    "path",
    [
        f"/native.pdb/{PDB_MODULE.debug_id}/native.pdb",
        f"/native.pdb/{PDB_MODULE.debug_id}/native.sym",
        f"/libnative.so/{ELF_ID}/libnative.so.sym",
        DEBUG_INFO,
    ],
)
def test_download_finds_no_file_of_a_native_upstream(site: HttpUpstream, path: str) -> None:
    """Nor when a symbolication had it fetched."""
    site.script |= {PDB: Reply(body=PDB_FILE), DEBUG_INFO: Reply(body=ELF_FILE)}
    storage_services.build_ids().note([BUILD_ID])
    for module in (PDB_MODULE, ELF_MODULE):
        assert isinstance(convert(module), Header)
    fetched = len(site.requests)
    assert Client().get(path).status_code == 404
    assert len(site.requests) == fetched


def test_wrong_file_has_one_reason_everywhere(site: HttpUpstream) -> None:
    site.script[PDB] = Reply(body=(DATA / "unwind.pdb").read_bytes())
    found = missing(PDB_MODULE)
    assert found.kind == "malformed"
    assert found.reason.startswith(f"{site.url}: the PDB file that it has sent has the debug id ")
    assert explained(PDB_MODULE).count("the PDB file that it has sent has the debug id ") >= 1
    body = orjson.dumps({"memoryMap": [[*PDB_MODULE]], "stacks": [[[0, IN_PDB]]]})
    reply = Client().post("/symbolicate/v5", body, "application/json").json()
    (error,) = reply["results"][0]["module_errors"][str(PDB_MODULE)]
    assert error == {"name": "Malformed", "message": found.reason}


def test_wrong_file_does_not_hide_that_of_the_next_upstream(
    site: HttpUpstream, settings: Settings, upstream: HttpUpstream
) -> None:
    with HttpUpstream().running() as other:
        settings.SYMBOL_SOURCES = [f"symsrv+{site.url}", f"symsrv+{other.url}"]
        services.discard_all()
        site.script[PDB] = Reply(body=(DATA / "unwind.pdb").read_bytes())
        other.script[PDB] = Reply(body=PDB_FILE)
        assert isinstance(convert(PDB_MODULE), Header)


def test_hundred_conversions_of_a_cold_module_fetch_it_once(site: HttpUpstream) -> None:
    site.script[PDB] = Reply(body=PDB_FILE)
    converter = symbolication_services._build_converter(
        storage_services.upstreams()[0], lambda _module: None, symbolication_services.page_file_builder()
    )
    with ThreadPoolExecutor(100) as pool:
        results = list(pool.map(converter.convert, [PDB_MODULE] * 100))
    assert [type(result) for result in results] == [Header] * 100
    assert [request.path for request in site.requests] == [PDB]


def report(build_id: str) -> str:
    """Return a backtrace of gdb with the list of modules of eu-unstrip."""
    modules = f"0x7f0000000000+0x4000 {build_id}@0x7f0000000238 /usr/lib/libnative.so - libnative.so"
    return f"#0  0x00007f0000001335 in ?? ()\n{modules}\n"
