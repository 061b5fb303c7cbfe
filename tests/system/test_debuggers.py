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

import pytest

from tests.system.site import ROOT, Site

pytestmark = pytest.mark.xdist_group("debuggers")  # all tests share a site

SOURCE = """\
#include <stdlib.h>
__attribute__((noinline)) int broken(int *numbers) {
    return numbers[10];
}
int main(void) {
    int *numbers = malloc(4 * sizeof(int));
    broken(numbers);
    return 0;
}
"""
ENDS_WITHIN = 120.0  # seconds, on a busy machine


class Build(NamedTuple):
    """A stripped program whose debug file only the site has, and the environment that names the site."""

    program: Path
    debug: bytes
    build_id: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    need("cc", "objcopy", "readelf")
    home = tmp_path_factory.mktemp("site")
    source, program, debug = (home / name for name in ("broken.c", "broken", "broken.debug"))
    source.write_text(SOURCE)
    run("cc", "-g", "-O0", "-Wl,--build-id=sha1", "-o", program, source)
    run("objcopy", "--only-keep-debug", program, debug)
    run("objcopy", "--strip-all", program)
    (build_id,) = re.findall(r"Build ID: (\w+)", run("readelf", "-n", program))
    with Site(home) as site:
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        token = site.manage("createtoken", "ci@example.com", *permission).strip()
        client = {**os.environ, "PYTHONPATH": str(ROOT), "TECKEN_URL": site.url, "TECKEN_TOKEN": token}
        run(sys.executable, "-m", "tecken.client", debug, program, environment=client)
        content = debug.read_bytes()
        debug.unlink()
        yield Build(program, content, build_id, {**os.environ, "DEBUGINFOD_URLS": site.url})


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
    assert re.search(r'Line 2 of ".*broken\.c" starts at address', text), text


def test_eu_addr2line_shows_the_function(build: Build, environment: dict[str, str]) -> None:
    need("eu-addr2line")
    text = run("eu-addr2line", "-f", "-e", build.program, "broken", environment=environment)
    assert text.splitlines()[0] == "broken"
    assert "broken.c:2" in text


def test_valgrind_shows_the_line_of_an_invalid_read(build: Build, environment: dict[str, str]) -> None:
    need("valgrind", "debuginfod-find")
    text = run("valgrind", build.program, environment=environment)
    assert re.search(r"Invalid read of size 4\n.*: broken \(broken\.c:3\)\n.*: main \(broken\.c:7\)", text), (
        text
    )
