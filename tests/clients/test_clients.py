"""Requests of programs that we do not write, as they send them: each must get what it can use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.test import Client

from tecken import services
from tecken.symbolication import services as symbolication_services
from tecken.symbols.pagefile.file import Header
from tests.symbolication.memory import CPP, C
from tests.upload.uploaders import SYM, SYM_KEY, Makes, stored

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

RECORDED = Path(__file__).parent / "recorded"
SYM_URL = f"/{SYM_KEY}"
# What Firefox sends for fetch() from the profiler's page.
FIREFOX = {
    "Origin": "https://profiler.firefox.com",
    "Referer": "https://profiler.firefox.com/",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
}
REQWEST = {"Accept": "*/*", "Accept-Encoding": "gzip"}


class Recorded(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def send(self, **headers: str) -> Any:
        told = {name: value for name, value in self.headers.items() if name != "Content-Type"} | headers
        return Client(enforce_csrf_checks=True).generic(
            self.method, self.target, self.body, self.headers["Content-Type"], headers=told
        )


def recorded(name: str) -> Recorded:
    head, _, body = (RECORDED / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _version = first.split()
    return Recorded(method, target, dict(line.split(": ", 1) for line in lines), body)


@pytest.fixture
def symbols(uploader: Makes, settings: Any) -> None:
    """Convert the samples."""
    settings.SYMBOL_SOURCES = [(Path(__file__).parents[1] / "data" / "samples").as_uri()]
    services.discard_all()
    for module in (C, CPP):
        assert isinstance(symbolication_services.converter().convert(module), Header)


def test_firefox_profiler_large_library_fits_one_request(symbols: None) -> None:
    """Libraries are put together up to 10,000 addresses, and one with more is sent alone and whole."""
    addresses = list(range(0x1000, 0x1000 + 60_000))
    jobs = [{"memoryMap": [list(C)], "stacks": [[[0, address] for address in addresses]]}]
    body = json.dumps({"jobs": jobs}, separators=(",", ":"))
    reply = Client(enforce_csrf_checks=True).post(
        "/symbolicate/v5", body, content_type="text/plain;charset=UTF-8", headers=FIREFOX
    )
    assert (reply.status_code, reply["Access-Control-Allow-Origin"]) == (200, "*")
    assert reply["Content-Encoding"] == "zstd"


def test_firefox_profiler_ten_libraries_in_one_request(symbols: None) -> None:
    names = [list(C), list(CPP), ["[vdso]", "F" * 33], ["linux-vdso.so.1", "0" * 33]] + [
        [f"lib{number}.so", f"{number:033X}"] for number in range(1, 7)
    ]
    jobs = [{"memoryMap": [name], "stacks": [[[0, 0x1205], [0, 0x1209]]]} for name in names]
    headers = {**FIREFOX, "Accept-Encoding": "identity"}
    reply = Client().post(
        "/symbolicate/v5", json.dumps({"jobs": jobs}), content_type="text/plain", headers=headers
    )
    results = reply.json()["results"]
    assert len(results) == 10
    assert results[0]["found_modules"] == {"/".join(C): True}
    for result in results:
        for number, frame in enumerate(result["stacks"][0]):
            assert frame["frame"] == number
            assert {"module_offset", "module"} <= set(frame)


def test_fx_crash_sig_gets_a_result_for_each_job(symbols: None) -> None:
    reply = recorded("fx-crash-sig").send()
    assert reply.status_code == 200
    first, empty, last = json.loads(_unpacked(reply))["results"]
    assert empty == {"stacks": [], "found_modules": {}, "module_errors": {}}
    assert first["stacks"][0][0]["function"] == last["stacks"][0][0]["function"] == "by_price"


def test_upload_symbols_of_mozilla_central_stores_the_files(uploader: Makes) -> None:
    reply = recorded("upload-symbols").send(**{"Auth-Token": uploader().key})
    assert reply.status_code == 201
    assert reply.json()["upload"]["filename"] == "symbols.zip"
    assert stored(SYM_KEY) == SYM


def test_upload_symbols_with_a_bad_token_gets_a_status_that_ends_its_retries() -> None:
    """It tries again after 408, 429 and 5xx, and after nothing else."""
    assert recorded("upload-symbols").send().status_code == 403


def test_rust_minidump_downloads_by_debug_id_and_code_id(uploader: Makes) -> None:
    """Missing files are 404s; the code id leads to a Location from which it takes the debug file and id."""
    symbols = SYM.replace(b"6CB9DBDAED91F95812FB09F7F2655E6F992E626C", b"5EA92DC11000 crash.exe")
    maker = uploader()
    numbered = maker.announce({SYM_KEY: symbols})
    maker.put(numbered["files"][0]["action"]["url"], symbols)
    assert maker.complete(numbered["id"]).status_code == 200
    found = Client().get(SYM_URL, headers=REQWEST)
    assert (found.status_code, found["Content-Encoding"]) == (200, "gzip")
    assert _unpacked(found) == symbols
    by_code = Client().get("/crash.exe/5EA92DC11000/crash.sym", headers=REQWEST)
    assert (by_code.status_code, by_code["Location"]) == (302, SYM_URL)
    absent = Client().get(f"/libc.so.6/{'A' * 33}/libc.so.6.sym", headers=REQWEST)
    assert absent.status_code == 404


def test_dump_syms_takes_a_head_of_200_for_a_file_that_is_there(uploader: Makes) -> None:
    recorded("upload-symbols").send(**{"Auth-Token": uploader().key})
    assert Client().head(SYM_URL, headers=REQWEST).status_code == 200
    assert Client().head(SYM_URL.replace("crash-c.sym", "crash-c.pd_"), headers=REQWEST).status_code == 404


def _unpacked(reply: Any) -> bytes:
    body = b"".join(reply) if reply.streaming else reply.content
    return gzip.decompress(body) if reply.get("Content-Encoding") == "gzip" else body
