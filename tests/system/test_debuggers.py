"""Debuggers and other programs that are not ours, with this site as their debuginfod server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tecken.symbols.ids import debug_ids_of_code_id
from tests.support.source_bundles import bundle
from tests.system.site import ROOT, Site

pytestmark = pytest.mark.xdist_group("debuggers")  # all tests share a site

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
GO_BUILD_ID = "0x" + "5e" * 20
# Prints where the types of a running program come from, and the type of a function.
DRGN = """\
import subprocess, sys
import drgn

with subprocess.Popen([sys.argv[1], "wait"], stdin=subprocess.PIPE) as child:
    program = drgn.Program()
    program.set_pid(child.pid)
    program.load_debug_info(main=True)
    print(program.main_module().debug_file_path)
    print(program["broken"].type_)
    child.communicate()
"""
ENDS_WITHIN = 120.0  # seconds, on a busy machine


class Build(NamedTuple):
    """A stripped program whose debug file and source only the site has, and the environment for clients.

    `address` is that of its function `broken`. `of_go` is such a program in Go, if there is a compiler.
    """

    program: Path
    source: Path
    debug: bytes
    build_id: str
    address: str
    of_go: Path | None
    environment: dict[str, str]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    need("cc", "nm", "objcopy", "readelf")
    home = tmp_path_factory.mktemp("site")
    source, program, debug = (home / name for name in ("broken.c", "broken", "broken.debug"))
    source.write_text(SOURCE)
    run("cc", "-g", "-O0", "-Wl,--build-id=sha1", "-o", program, source)
    run("objcopy", "--only-keep-debug", program, debug)
    (address,) = re.findall(r"(\w+) T broken\n", run("nm", debug))
    run("objcopy", "--strip-all", program)
    of_go = build_go(home)
    (build_id,) = re.findall(r"Build ID: (\w+)", run("readelf", "-n", program))
    with Site(home) as site:
        token = make_token(site, "upload.upload_symbols")
        client = {**os.environ, "PYTHONPATH": str(ROOT), "TECKEN_URL": site.url, "TECKEN_TOKEN": token}
        (debug_id,) = debug_ids_of_code_id(build_id)[:1]
        sources = home / "sources.zip"
        sources.write_bytes(bundle(debug_id, {str(source): SOURCE.encode()}, name=program.name))
        files = (debug, program, sources, *filter(None, (of_go and of_go.with_suffix(".debug"),)))
        run(sys.executable, "-m", "tecken.client", *files, environment=client)
        content = debug.read_bytes()
        debug.unlink()
        source.unlink()
        headers = home / "headers"
        headers.write_text(f"Auth-Token: {make_token(site, 'storage.view_sources')}\n")
        of_clients = {"DEBUGINFOD_URLS": site.url, "DEBUGINFOD_HEADERS_FILE": str(headers)}
        environment = {**os.environ, **of_clients}
        yield Build(program, source, content, build_id, f"0x{address}", of_go, environment)


def make_token(site: Site, permission: str) -> str:
    return site.manage("createtoken", "ci@example.com", "--permission", permission, "--create-user").strip()


def build_go(home: Path) -> Path | None:
    """Return a program in Go without debug information, which is beside it; None without a compiler."""
    compiler = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
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


@pytest.fixture
def environment(build: Build, tmp_path: Path) -> dict[str, str]:
    """Without anything that a client has cached, under any of the names that clients use."""
    cache = str(tmp_path / "cache")
    return {**build.environment, "DEBUGINFOD_CACHE_PATH": cache, "HOME": cache, "XDG_CACHE_HOME": cache}


def need(*programs: str) -> None:
    if lacking := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"{', '.join(lacking)} is not installed")


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return what a program prints. It must end without an error."""
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )
    assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
    return ended.stdout + ended.stderr


def test_debuginfod_find_downloads_files_and_sections(build: Build, environment: dict[str, str]) -> None:
    need("debuginfod-find")
    for artifact, content in (("debuginfo", build.debug), ("executable", build.program.read_bytes())):
        path = run("debuginfod-find", artifact, build.build_id, environment=environment).strip()
        assert Path(path).read_bytes() == content
    path = run("debuginfod-find", "section", build.build_id, ".text", environment=environment).strip()
    assert Path(path).read_bytes() in build.program.read_bytes()


def test_debuginfod_find_downloads_the_source_with_a_token(build: Build, environment: dict[str, str]) -> None:
    need("debuginfod-find")
    command = ("debuginfod-find", "source", build.build_id, str(build.source))
    path = run(*command, environment=environment).strip()
    assert Path(path).read_text() == SOURCE
    del environment["DEBUGINFOD_HEADERS_FILE"]
    environment["DEBUGINFOD_CACHE_PATH"] += "-without"
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=ENDS_WITHIN, check=False)
    assert ended.returncode != 0


def test_gdb_lists_the_source(build: Build, environment: dict[str, str]) -> None:
    need("gdb")
    enable, show = ("-iex", "set debuginfod enabled on"), ("-ex", "list broken")
    text = run("gdb", "-batch", "-nx", *enable, *show, build.program, environment=environment)
    assert re.search(r"^4\t    return numbers\[10\];$", text, re.MULTILINE), text


@pytest.mark.parametrize("version", ["14", "19"])
def test_llvm_debuginfod_find_downloads_the_debug_file(
    build: Build, environment: dict[str, str], version: str, tmp_path: Path
) -> None:
    program = f"llvm-debuginfod-find-{version}"
    need(program)
    copy = tmp_path / "copy"
    with copy.open("wb") as file:
        subprocess.run(
            (program, "--debuginfo", "--dump", build.build_id),
            env=environment,
            stdout=file,
            timeout=ENDS_WITHIN,
            check=True,
        )
    assert copy.read_bytes() == build.debug


def test_gdb_shows_the_line_of_a_function(build: Build, environment: dict[str, str]) -> None:
    need("gdb")
    enable, show = ("-iex", "set debuginfod enabled on"), ("-ex", "info line broken")
    text = run("gdb", "-batch", "-nx", *enable, *show, build.program, environment=environment)
    assert re.search(r'Line 3 of ".*broken\.c" starts at address', text), text


def test_eu_addr2line_shows_the_function(build: Build, environment: dict[str, str]) -> None:
    need("eu-addr2line")
    text = run("eu-addr2line", "-f", "-e", build.program, "broken", environment=environment)
    assert text.splitlines()[0] == "broken"
    assert "broken.c:3" in text


def test_valgrind_shows_the_line_of_an_invalid_read(build: Build, environment: dict[str, str]) -> None:
    need("valgrind", "debuginfod-find")
    text = run("valgrind", build.program, environment=environment)
    assert re.search(r"Invalid read of size 4\n.*: broken \(broken\.c:4\)\n.*: main \(broken\.c:8\)", text), (
        text
    )


def test_llvm_symbolizer_shows_the_line_of_an_address(build: Build, environment: dict[str, str]) -> None:
    """By the build id alone, and by the program. Version 14 cannot download."""
    need("llvm-symbolizer-19")
    for named in (f"--build-id={build.build_id}", f"--obj={build.program}"):
        text = run("llvm-symbolizer-19", "--debuginfod", named, build.address, environment=environment)
        assert text.startswith("broken\n"), text
        assert "broken.c:3:" in text


def test_drgn_knows_the_type_of_a_function(build: Build, environment: dict[str, str]) -> None:
    pytest.importorskip("drgn")
    path, type_ = run(sys.executable, "-c", DRGN, build.program, environment=environment).splitlines()
    assert build.build_id in path
    assert type_ == "int (int *numbers)"


def test_delve_stops_at_a_function(build: Build, environment: dict[str, str], tmp_path: Path) -> None:
    need("dlv", "debuginfod-find")
    if build.of_go is None:
        pytest.skip("go is not installed")
    commands = tmp_path / "commands"
    commands.write_text("break main.broken\ncontinue\nexit\n")
    options = ("--allow-non-terminal-interactive", "--check-go-version=false", "--init", str(commands))
    command = (shutil.which("dlv") or "dlv", "exec", build.of_go, *options)
    assert "main.go:6" in run(*command, environment=environment)
    other_cache = {**environment, "DEBUGINFOD_URLS": "", "DEBUGINFOD_CACHE_PATH": str(tmp_path / "empty")}
    with pytest.raises(AssertionError, match="could not open debug info"):
        run(*command, environment=other_cache)


def test_debuginfod_find_with_the_address_for_try_builds(build: Build, environment: dict[str, str]) -> None:
    need("debuginfod-find")
    address = {"DEBUGINFOD_URLS": f"{environment['DEBUGINFOD_URLS']}/try"}
    path = run("debuginfod-find", "debuginfo", build.build_id, environment={**environment, **address}).strip()
    assert Path(path).read_bytes() == build.debug


def test_key_of_dotnet_symbol_with_escaped_slashes_is_found(build: Build) -> None:
    """The whole key is one segment of the path."""
    key = f"_.debug%2Felf-buildid-sym-{build.build_id}%2F_.debug"
    reply = httpx.get(f"{build.environment['DEBUGINFOD_URLS']}/{key}", follow_redirects=True)
    assert (reply.status_code, reply.content) == (200, build.debug)
