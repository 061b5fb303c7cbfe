"""Debuggers and other programs that are not ours, with this site as their debuginfod server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.system.build import ENDS_WITHIN, GROUP, SOURCE, Build, need, run

pytestmark = GROUP

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


@pytest.mark.parametrize("version", ["14", "19"])
def test_llvm_symbolizer_shows_the_line_of_an_address(
    build: Build, environment: dict[str, str], version: str
) -> None:
    """Version 14 downloads whenever the variable is set, and later ones on request, also by the build id."""
    program = f"llvm-symbolizer-{version}"
    need(program)
    by_id = ["--debuginfod", f"--build-id={build.build_id}"]
    for options in (
        ([f"--obj={build.program}"],) if version == "14" else (by_id, [by_id[0], f"--obj={build.program}"])
    ):
        text = run(program, *options, hex(build.address), environment=environment)
        assert text.startswith("broken\n"), text
        assert "broken.c:3:" in text


def test_lldb_shows_the_lines_of_a_stack(build: Build, environment: dict[str, str]) -> None:
    need("lldb-19")
    del environment["DEBUGINFOD_URLS"]
    setting = f"settings append plugin.symbol-locator.debuginfod.server-urls {build.url}"
    commands = (setting, f"target create {build.program}", "breakpoint set --name broken", "run", "bt")
    options = [word for command in commands for word in ("--one-line", command)]
    text = run("lldb-19", "--no-lldbinit", "--batch", *options, environment=environment)
    assert re.search(r"frame #0: .*broken\(numbers=.*\) at broken\.c:4:", text), text
    assert re.search(r"frame #1: .*main\(argc=1, .*\) at broken\.c:8:", text), text


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
    command = ("dlv", "exec", build.of_go, *options)
    assert "main.go:6" in run(*command, environment=environment)
    other_cache = {**environment, "DEBUGINFOD_URLS": "", "DEBUGINFOD_CACHE_PATH": str(tmp_path / "empty")}
    with pytest.raises(AssertionError, match="could not open debug info"):
        run(*command, environment=other_cache)


def test_debuginfod_find_with_the_address_for_try_builds(build: Build, environment: dict[str, str]) -> None:
    need("debuginfod-find")
    address = {"DEBUGINFOD_URLS": f"{build.url}/try"}
    path = run("debuginfod-find", "debuginfo", build.build_id, environment={**environment, **address}).strip()
    assert Path(path).read_bytes() == build.debug


def test_key_of_dotnet_symbol_with_escaped_slashes_is_found(build: Build) -> None:
    """The whole key is one segment of the path."""
    key = f"_.debug%2Felf-buildid-sym-{build.build_id}%2F_.debug"
    reply = httpx.get(f"{build.url}/{key}", follow_redirects=True)
    assert (reply.status_code, reply.content) == (200, build.debug)


def test_debuginfod_find_lists_the_files_of_a_name(build: Build, environment: dict[str, str]) -> None:
    need("debuginfod-find")
    if "metadata" not in run("debuginfod-find", "--help", environment=environment):
        pytest.skip("debuginfod-find is older than elfutils 0.192")
    listed = json.loads(run("debuginfod-find", "metadata", "glob", "/usr/bin/brok*", environment=environment))
    found = {(result["type"], result["buildid"]) for result in listed["results"]}
    assert found == {("debuginfo", build.build_id), ("executable", build.build_id)}
