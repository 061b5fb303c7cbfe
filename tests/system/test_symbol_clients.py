"""Profilers, stackwalkers and dumpers that are not ours, with this site as their symbol server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.minidumps import LINUX, WINDOWS, Module, elf_record, minidump, pdb_record
from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.system.build import ENDS_WITHIN, GROUP, Build, need, run
from tests.upload.natives import DATA, UNWIND_ID

pytestmark = GROUP

BASE = 0x5555_0000_0000
PE_ID = "CD6F5F244000"
"""The time stamp and the size of unwind.exe in memory."""
READ = 0x1000
"""The address of a function of unwind.exe, which is called by `sum`."""
IN_SUM, IN_START = 0x105D, 0x107D
"""The addresses after calls."""
STACK_OF_SUM = 9
"""Words between the return addresses to `sum` and to `start`."""
FRAME_KEYS = ("function", "file", "line")


def fields(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: frame[key] for key in FRAME_KEYS} for frame in frames]


# Profilers.


@contextmanager
def samply(build: Build, environment: dict[str, str], *options: str) -> Iterator[str]:
    """Start samply's server for a profile with the modules of the build. Yield the URL of its API."""
    need("samply")
    home = Path(environment["HOME"])
    home.mkdir()
    profile, port = home / "profile.json", free_port()
    profile.write_text(json.dumps(make_profile(build)))
    command = ["samply", "load", "--no-open", "--port", str(port), *options, str(profile)]
    with (home / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    page = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: answers(page), ENDS_WITHIN, "samply's server answers")
        # A secret part of the path is in the page.
        (token,) = set(re.findall(r"/(\w{20,})/profile\.json", httpx.get(page).text))
        yield f"{page}{token}"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(ENDS_WITHIN)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def make_profile(build: Build) -> dict[str, Any]:
    """Return a profile without samples, whose modules have paths at which there is nothing."""
    modules = (
        (build.program.name, build.program.name, build.debug_id, build.build_id),
        (build.windows.name, "unwind.pdb", UNWIND_ID, PE_ID),
    )
    libraries = [
        {
            "name": name,
            "path": f"/nowhere/{name}",
            "debugName": debug_name,
            "debugPath": f"/nowhere/{debug_name}",
            "breakpadId": debug_id,
            "codeId": code_id,
            "arch": "x86_64",
        }
        for name, debug_name, debug_id, code_id in modules
    ]
    meta = {"version": 27, "preprocessedProfileVersion": 47, "interval": 1, "startTime": 0, "categories": []}
    return {"meta": meta, "libs": libraries, "threads": [], "pages": [], "counters": []}


def symbolicate(url: str, module: tuple[str, str], *offsets: int) -> list[dict[str, Any]]:
    """Return the frames of a stack in one module."""
    request = {"memoryMap": [module], "stacks": [[[0, offset] for offset in offsets]]}
    reply = httpx.post(f"{url}/symbolicate/v5", json=request, timeout=ENDS_WITHIN)
    assert reply.status_code == 200, reply.text
    (stack,) = reply.json()["results"][0]["stacks"]
    assert all("function" in frame for frame in stack), reply.text
    return fields(stack)


def test_samply_has_the_frames_of_this_site_from_symbol_files(
    build: Build, environment: dict[str, str]
) -> None:
    """Made from the debug file and from the PDB, since nothing else was uploaded."""
    program, windows = (build.program.name, build.debug_id), ("unwind.pdb", UNWIND_ID)
    requests = ((program, (build.address, build.caller - 1)), (windows, (READ, IN_SUM - 1)))
    with samply(build, environment, "--breakpad-symbol-server", build.url) as url:
        for module, offsets in requests:
            frames = symbolicate(url, module, *offsets)
            assert frames == symbolicate(build.url, module, *offsets)
            assert all(frame["line"] for frame in frames)


def test_samply_has_the_frames_of_this_site_from_a_pdb(build: Build, environment: dict[str, str]) -> None:
    module = ("unwind.pdb", UNWIND_ID)
    with samply(build, environment, "--windows-symbol-server", build.url) as url:
        frames = symbolicate(url, module, READ, IN_SUM - 1)
    assert frames == symbolicate(build.url, module, READ, IN_SUM - 1)
    (copy,) = filter(Path.is_file, Path(environment["HOME"]).rglob("unwind.pdb"))
    assert copy.read_bytes() == (DATA / "unwind.pdb").read_bytes()


def test_samply_has_the_frames_of_this_site_from_debuginfod(
    build: Build, environment: dict[str, str]
) -> None:
    module = (build.program.name, build.debug_id)
    with samply(build, {**environment, "SAMPLY_USE_DEBUGINFOD": "1"}) as url:
        frames = symbolicate(url, module, build.address, build.caller - 1)
    assert frames == symbolicate(build.url, module, build.address, build.caller - 1)
    assert [frame["function"] for frame in frames] == ["broken", "main"]
    (copy,) = Path(environment["HOME"]).rglob("debuginfo")
    assert copy.read_bytes() == build.debug


# Stackwalkers.


def walk(build: Build, environment: dict[str, str], content: bytes) -> list[dict[str, Any]]:
    """Return the frames that minidump-stackwalk finds with symbols of this site alone."""
    need("minidump-stackwalk")
    home = Path(environment["HOME"])
    cache = home / "symbols"
    cache.mkdir(parents=True)
    dump = home / "crash.dmp"
    dump.write_bytes(content)
    places = ("--symbols-url", build.url, "--symbols-cache", str(cache), "--symbols-tmp", str(home))
    command = ("minidump-stackwalk", "--json", "--no-interactive", *places, dump)
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )
    assert ended.returncode == 0, ended.stderr
    frames: list[dict[str, Any]] = json.loads(ended.stdout)["crashing_thread"]["frames"]
    return frames


def test_rust_minidump_walks_a_stack_with_the_unwind_information_of_an_elf_file(
    build: Build, environment: dict[str, str]
) -> None:
    module = Module(f"/nowhere/{build.program.name}", BASE, 1 << 20, elf_record(build.build_id))
    stack = [BASE + build.caller, *[0] * 10]
    frames = walk(build, environment, minidump(LINUX, [module], BASE + build.address, stack))
    assert fields(frames[:2]) == symbolicate(
        build.url, (build.program.name, build.debug_id), build.address, build.caller - 1
    )
    assert [frame["trust"] for frame in frames[:2]] == ["context", "cfi"]


@pytest.mark.parametrize("record", [pdb_record(UNWIND_ID, "C:\\build\\unwind.pdb"), b""])
def test_rust_minidump_walks_a_stack_of_a_program_for_windows(
    build: Build, environment: dict[str, str], record: bytes
) -> None:
    """Without the record, the site finds the debug file by the code id."""
    time_stamp, size = int(PE_ID[:8], 16), int(PE_ID[8:], 16)
    module = Module("C:\\build\\unwind.exe", BASE, size, record, time_stamp)
    stack = [BASE + IN_SUM, *[0] * STACK_OF_SUM, BASE + IN_START, *[0] * 10]
    frames = walk(build, environment, minidump(WINDOWS, [module], BASE + READ, stack))
    assert fields(frames[:3]) == symbolicate(
        build.url, ("unwind.pdb", UNWIND_ID), READ, IN_SUM - 1, IN_START - 1
    )
    assert frames[2]["trust"] == "cfi"


# Dumpers.


def dump_syms(build: Build, environment: dict[str, str], *arguments: str | Path) -> list[str]:
    """Return the lines of a symbol file, for which dump_syms may download from this site alone."""
    need("dump_syms")
    server = f"SRV*{environment['HOME']}*{build.url}"
    return run("dump_syms", "--symbol-server", server, *arguments, environment=environment).splitlines()


def test_dump_syms_downloads_the_pdb_of_a_program(build: Build, environment: dict[str, str]) -> None:
    lines = dump_syms(build, environment, build.windows)
    assert lines[0] == f"MODULE windows x86_64 {UNWIND_ID} unwind.pdb"
    assert f"INFO CODE_ID {PE_ID} unwind.exe" in lines
    assert any(line.startswith("FUNC 1000 6 ") for line in lines)


def test_dump_syms_downloads_both_files_by_their_ids(build: Build, environment: dict[str, str]) -> None:
    for argument in (("--debug-id", UNWIND_ID, "unwind.pdb"), ("--code-id", PE_ID, "unwind.exe")):
        lines = dump_syms(build, environment, *argument)
        assert lines[0] == f"MODULE windows x86_64 {UNWIND_ID} unwind.pdb"


def test_paths_of_a_symstore_are_those_of_this_site(build: Build, tmp_path: Path) -> None:
    store = tmp_path / "store"
    program = Path(sys.executable).with_name("symstore")
    run(program, store, build.windows, DATA / "unwind.pdb")
    files = [path for path in store.glob("*/*/*") if path.parts[-3] != "000Admin"]
    assert len(files) == 2
    for path in files:
        reply = httpx.get(f"{build.url}/{path.relative_to(store)}", follow_redirects=True)
        assert (reply.status_code, reply.content) == (200, path.read_bytes())


# Sentry.


@pytest.mark.parametrize("kind", ["debuginfo", "executable", "pdb", "exe", "sym", "sources"])
def test_sentry_cli_accepts_a_file_of_this_site(
    build: Build, environment: dict[str, str], tmp_path: Path, kind: str
) -> None:
    need("sentry-cli")
    name = f"{build.program.name}/{build.debug_id}/{build.program.name}"
    path, debug_id = {
        "debuginfo": (f"buildid/{build.build_id}/debuginfo", build.debug_id),
        "executable": (f"buildid/{build.build_id}/executable", build.debug_id),
        "pdb": (f"unwind.pdb/{UNWIND_ID}/unwind.pdb", UNWIND_ID),
        "exe": (f"unwind.exe/{PE_ID}/unwind.exe", UNWIND_ID),
        "sym": (f"{name}.sym", build.debug_id),
        "sources": (f"{name}.src.zip", build.debug_id),
    }[kind]
    token = Path(environment["DEBUGINFOD_HEADERS_FILE"]).read_text().removeprefix("Auth-Token: ")
    headers = {"Auth-Token": token.strip()}
    reply = httpx.get(f"{build.url}/{path}", headers=headers, follow_redirects=True, timeout=ENDS_WITHIN)
    file = tmp_path / "file"
    file.write_bytes(reply.raise_for_status().content)
    checked = json.loads(run("sentry-cli", "debug-files", "check", "--json", file, environment=environment))
    (variant,) = checked["variants"]
    # A dashed GUID, and the age unless it is 0.
    assert variant["debug_id"].replace("-", "").upper().ljust(len(debug_id), "0") == debug_id
    assert checked["is_usable"], checked
