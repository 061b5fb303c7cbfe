"""Four ways to upload into a site that has just answered "missing": the same process then has the symbols."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from hashlib import md5
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import pytest

from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("roundtrip")  # all tests share a site

SYM = next((Path(__file__).parents[1] / "data" / "samples" / "crash-c").glob("*/crash-c.sym"))
DEBUG_ID = SYM.parent.name
WITHIN = 60.0  # seconds


class Uploader(NamedTuple):
    site: Site
    token: str
    home: Path

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(self.site.url + path, headers={"Auth-Token": self.token}, timeout=30, **body)


class Module(NamedTuple):
    debug_file: str

    @property
    def path(self) -> str:
        return f"{self.debug_file}/{DEBUG_ID}/{self.debug_file}.sym"

    @property
    def text(self) -> bytes:
        return SYM.read_bytes().replace(b" crash-c\n", f" {self.debug_file}\n".encode(), 1)

    def found(self, site: Site) -> bool:
        request = {"memoryMap": [[self.debug_file, DEBUG_ID]], "stacks": [[[0, 0x1180]]]}
        (job,) = site.symbolicate(request).json()["results"]
        return bool(job["found_modules"][f"{self.debug_file}/{DEBUG_ID}"])


@pytest.fixture(scope="module")
def uploader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploader]:
    home = tmp_path_factory.mktemp("site")
    with Site(home) as site:
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        yield Uploader(site, site.manage("createtoken", "ci@example.com", *permission).strip(), home)


def by_zip(uploader: Uploader, module: Module) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(module.path, module.text)
    reply = uploader.post("/upload/", files={"symbols.zip": packed.getvalue()})
    assert reply.status_code == 201, reply.text


def by_program(uploader: Uploader, module: Module) -> None:
    file = uploader.home / module.path
    file.parent.mkdir(parents=True)
    file.write_bytes(module.text)
    environment = {**os.environ, "TECKEN_URL": uploader.site.url, "TECKEN_TOKEN": uploader.token}
    command = [sys.executable, "-m", "tecken.client", str(file.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def by_direct_upload(uploader: Uploader, module: Module) -> None:
    announced = uploader.post("/upload/v2/", json={"files": [described(module.path, module.text)]}).json()
    (file,) = announced["files"]
    httpx.put(file["action"]["url"], content=gzip.compress(module.text), timeout=30).raise_for_status()
    assert uploader.post(f"/upload/v2/{announced['id']}/complete").is_success


def by_sym_upload(uploader: Uploader, module: Module) -> None:
    fields = {"debug_file": module.debug_file, "debug_identifier": DEBUG_ID, "os": "Linux", "cpu": "x86_64"}
    reply = uploader.post("/upload/sym_upload", data=fields, files={"symbol_file": module.text})
    assert reply.is_success, reply.text


def described(path: str, content: bytes) -> dict[str, Any]:
    return {"key": path, "size": len(content), "md5_hash": md5(content).hexdigest()}


@pytest.mark.parametrize("way", [by_zip, by_program, by_direct_upload, by_sym_upload])
def test_uploaded_file_that_was_missing_is_served_at_once(
    uploader: Uploader, way: Callable[[Uploader, Module], None]
) -> None:
    module = Module(f"{way.__name__}.so")
    assert module.found(uploader.site) is False
    way(uploader, module)
    deadline = monotonic() + WITHIN
    while not module.found(uploader.site) and monotonic() < deadline:
        pass  # a request waits for the conversion by itself
    assert module.found(uploader.site)
    assert httpx.get(f"{uploader.site.url}/{module.path}").content == module.text
