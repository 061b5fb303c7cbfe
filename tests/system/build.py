"""A site with one upload of one build, for programs that are not ours.

The fixtures `build` and `environment` of conftest.py start it. Test modules share the site with `GROUP`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tecken.symbols.ids import debug_ids_of_code_id
from tests.support.source_bundles import bundle
from tests.system.site import ROOT, Site

GROUP = pytest.mark.xdist_group("clients")  # all tests share the site

SOURCE = """\
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) int broken(int *numbers) {
    return numbers[10];
}
int main(int argc, char **argv) {
    int *numbers = malloc(4 * sizeof(int));
    broken(numbers);
    if (argc > 1) getchar();
    return 0;
}
"""
GO_SOURCE = """\
package main

import "os"

//go:noinline
func broken(numbers []int, at int) int {
	return numbers[at]
}

func main() {
	broken([]int{1, 2, 3}, len(os.Args)+9)
}
"""
NATIVE = ROOT / "tests" / "data" / "native"
GO_BUILD_ID = "0x" + "5e" * 20
ENDS_WITHIN = 120.0  # seconds, on a busy machine
# `cargo install --root /opt/NAME` and Go's own archive put programs there.
PATH = os.pathsep.join([os.environ["PATH"], *map(str, Path("/opt").glob("*/bin")), "/usr/local/go/bin"])


class Build(NamedTuple):
    """A stripped program whose debug file and source only the site has, and the environment for clients.

    `address` is that of its function `broken`, and `caller` that to which `broken` returns. `of_go` is such a
    program in Go, if there is a compiler. `windows` is a program for Windows without its PDB, which was sent
    in the same upload.
    """

    url: str
    program: Path
    source: Path
    debug: bytes
    build_id: str
    debug_id: str
    address: int
    caller: int
    of_go: Path | None
    windows: Path
    environment: dict[str, str]


@contextmanager
def serve(home: Path) -> Iterator[Build]:
    """Build the programs, send them in one upload, and remove what the site then has alone."""
    source, program, debug = (home / name for name in ("broken.c", "broken", "broken.debug"))
    source.write_text(SOURCE)
    run("cc", "-g", "-O0", "-Wl,--build-id=sha1", "-o", program, source)
    run("objcopy", "--only-keep-debug", program, debug)
    (start,) = re.findall(r"(\w+) T broken\n", run("nm", debug))
    address = int(start, 16)
    run("objcopy", "--strip-all", program)
    of_go = build_go(home)
    windows = Path(shutil.copy(NATIVE / "unwind.exe", home))
    (build_id,) = re.findall(r"Build ID: (\w+)", run("readelf", "-n", program))
    (debug_id,) = debug_ids_of_code_id(build_id)[:1]
    sources = home / "sources.zip"
    sources.write_bytes(bundle(debug_id, {str(source): SOURCE.encode()}, name=program.name))
    files = [debug, program, sources, windows, NATIVE / "unwind.pdb"]
    if of_go:
        files.append(of_go.with_suffix(".debug"))
    with Site(home) as site:
        upload(site, files)
        content = debug.read_bytes()
        debug.unlink()
        source.unlink()
        yield Build(
            site.url,
            program,
            source,
            content,
            build_id,
            debug_id,
            address,
            find_call(program.read_bytes(), address),
            of_go,
            windows,
            make_environment(site, home),
        )


def upload(site: Site, files: list[Path]) -> None:
    """Send all files in one upload."""
    token = make_token(site, "upload.upload_symbols")
    client = {**os.environ, "PYTHONPATH": str(ROOT), "TECKEN_URL": site.url, "TECKEN_TOKEN": token}
    run(sys.executable, "-m", "tecken.client", *files, environment=client)


def make_environment(site: Site, home: Path) -> dict[str, str]:
    """Return the environment with the address of the site, and the token for source code."""
    headers = home / "headers"
    headers.write_text(f"Auth-Token: {make_token(site, 'storage.view_sources')}\n")
    of_clients = {"DEBUGINFOD_URLS": site.url, "DEBUGINFOD_HEADERS_FILE": str(headers)}
    return {**os.environ, "PATH": PATH, **of_clients}


def find_call(program: bytes, function: int) -> int:
    """Return the address after the only call of a function: linkers place code at its offset in the file."""
    calls = (at.start() for at in re.finditer(b"\xe8", program))
    (call,) = (
        at
        for at in calls
        if at + 5 + int.from_bytes(program[at + 1 : at + 5], "little", signed=True) == function
    )
    return call + 5


def make_token(site: Site, permission: str) -> str:
    return site.manage("createtoken", "ci@example.com", "--permission", permission, "--create-user").strip()


def build_go(home: Path) -> Path | None:
    """Return a program in Go without debug information, which is beside it; None without a compiler."""
    compiler = shutil.which("go", path=PATH)
    if not compiler:
        return None
    source, program = home / "main.go", home / "gobroken"
    source.write_text(GO_SOURCE)
    # A GNU build id, which Go's linker writes on request alone, and sections as old debuggers read them.
    flags = ("-gcflags=all=-N -l", f"-ldflags=-B {GO_BUILD_ID} -compressdwarf=false")
    environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": str(home / "gocache")}
    run(compiler, "build", *flags, "-o", program, source, environment=environment)
    run("objcopy", "--only-keep-debug", program, program.with_suffix(".debug"))
    run("objcopy", "--strip-debug", program)
    return program


def need(*programs: str) -> None:
    if lacking := [program for program in programs if not shutil.which(program, path=PATH)]:
        pytest.skip(f"{', '.join(lacking)} is not installed")


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return what a program prints. It must end without an error."""
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )
    assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
    return ended.stdout + ended.stderr
