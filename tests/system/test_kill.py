"""kill -9 at ten random points of uploads: a retry completes, nothing disagrees, nothing is left behind."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from random import Random
from threading import Timer
from time import monotonic
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import httpx
import pytest

from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("kill")  # all tests share a site

SEED = 20261121
KILLS = 10
MODULES = 6
FUNCTIONS = 20_000  # of a module; half a megabyte
Files = dict[str, bytes]
State = dict[str, Any]
"""What a client remembers between two tries."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("site")
    for name in ("tmp", "spool"):
        (home / name).mkdir()
    return home


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[Site]:
    places = {"TMPDIR": str(home / "tmp"), "SPOOL_DIR": str(home / "spool")}
    with Site(home, {"absent_seconds": 1}, **places) as site:
        yield site


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    permission = ("--permission", "upload.upload_symbols")
    return site.manage("createtoken", "builder@example.com", *permission, "--create-user").strip()


@pytest.fixture
def client(site: Site, token: str) -> Callable[[], httpx.Client]:
    def connect() -> httpx.Client:
        return httpx.Client(base_url=site.url, headers={"Auth-Token": token}, timeout=30)

    return connect


def build(random: Random, modules: int = MODULES) -> Files:
    """Return symbol files of new modules."""
    files = {}
    for number in range(modules):
        name, debug_id = f"lib{number}.so", f"{random.getrandbits(128):032X}0"
        functions = (f"FUNC {16 * n:x} 10 0 f{random.getrandbits(32):x}\n" for n in range(FUNCTIONS))
        text = f"MODULE Linux x86_64 {debug_id} {name}\n{''.join(functions)}"
        files[f"{name}/{debug_id}/{name}.sym"] = text.encode()
    return files


def in_an_archive(client: httpx.Client, files: Files, state: State) -> None:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for key, content in files.items():
            archive.writestr(key, content)
    reply = client.post("/upload/", files={"build.zip": packed.getvalue()})
    assert reply.status_code == 201, reply.text


def one_by_one(client: httpx.Client, files: Files, state: State) -> None:
    if "answer" not in state:
        specs = [
            {"key": key, "size": len(content), "md5_hash": md5(content).hexdigest()}
            for key, content in files.items()
        ]
        state["answer"] = client.post("/upload/v2/", json={"files": specs}).raise_for_status().json()
    answer = state["answer"]
    urls = {file["key"]: file["action"]["url"] for file in answer["files"]}
    complete = f"/upload/v2/{answer['id']}/complete"
    reply = client.post(complete)
    if reply.status_code == 400:
        for file in reply.json()["files"]:
            client.put(urls[file["key"]], content=files[file["key"]]).raise_for_status()
        reply = client.post(complete)
    assert reply.status_code == 200, reply.text


def with_sym_upload(client: httpx.Client, files: Files, state: State) -> None:
    """Protocol 1."""
    for key, content in files.items():
        debug_file, debug_id, name = key.split("/")
        fields = {"debug_file": debug_file, "debug_identifier": debug_id}
        reply = client.post("/upload/sym_upload", data=fields, files={"symbol_file": (name, content)})
        assert reply.status_code == 200, reply.text


def with_sym_upload_2(client: httpx.Client, files: Files, state: State) -> None:
    """Protocol 2, going on where it was; the program itself starts over, and leaves the rest to `cleanup`."""
    base = "/upload/sym_upload/v1"
    for key, content in files.items():
        debug_file, debug_id, _ = key.split("/")
        if key not in state:
            state[key] = client.post(f"{base}/uploads:create").raise_for_status().json()
        complete = f"{base}/uploads/{state[key]['uploadKey']}:complete"
        said = f'{{ symbol_id: {{debug_file: "{debug_file}", debug_id: "{debug_id}" }} }}'
        if client.post(complete, content=said).status_code == 200:
            continue
        client.put(state[key]["uploadUrl"], content=iter([content])).raise_for_status()
        reply = client.post(complete, content=said)
        assert reply.status_code == 200, reply.text


WAYS = (in_an_archive, one_by_one, with_sym_upload, with_sym_upload_2)


@pytest.mark.parametrize("number", range(KILLS))
def test_upload_killed_at_any_moment_is_completed_by_a_retry(
    site: Site, home: Path, client: Callable[[], httpx.Client], number: int
) -> None:
    random, way = Random(SEED + number), WAYS[number % len(WAYS)]
    kill, start = (
        (site.kill_worker, site.start_worker) if number % 3 == 2 else (site.kill_web, site.start_web)
    )
    began = monotonic()
    with client() as undisturbed:
        way(undisturbed, build(random), {})
    files = build(random)
    state: State = {}
    timer = Timer(random.random() * (monotonic() - began), kill)
    timer.start()
    try:
        with client() as disturbed:
            way(disturbed, files, state)
    except httpx.TransportError:
        pass  # the server is gone
    timer.join()
    start()
    with client() as again:
        way(again, files, state)
        for key, content in files.items():
            assert again.get(f"/{key}").content == content
    assert_symbolicated(site, files)
    assert " 0 problems" in site.manage("symbols", "fsck")
    assert left_behind(home) == []


def assert_symbolicated(site: Site, files: Files) -> None:
    modules = [key.split("/")[:2] for key in files]
    request = {"memoryMap": modules, "stacks": [[[index, 0x15] for index in range(len(modules))]]}
    deadline = monotonic() + 60
    reply = site.symbolicate(request)
    while pending(reply) and monotonic() < deadline:
        reply = site.symbolicate(request)
    assert set(reply.json()["results"][0]["found_modules"].values()) == {True}, reply.text


def pending(reply: httpx.Response) -> bool:
    """Return whether a conversion lock of a killed process may still be held."""
    return reply.status_code == 503 or '"Pending"' in reply.text


def left_behind(home: Path) -> list[str]:
    """Return files of processes that have ended; those of running processes have no name."""
    places = [home / "tmp", home / "spool", home / "storage" / "incoming"]
    found = [file for place in places for file in place.rglob("*") if file.is_file()]
    return [str(file) for file in (*found, *(home / "storage").rglob("*#*"))]
