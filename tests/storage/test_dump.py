"""Limits of the child process that reads native files, with small programs in place of an engine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tecken.errors import Malformed, Unavailable
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import (
    DumpEngine,
    dump,
    find_engine,
    find_python_engine,
    find_rust_engine,
)

LIBRARY = Path(__file__).parents[1] / "data" / "native" / "libnative.so"
LIMITS = ChildLimits(memory_bytes=1 << 30, cpu_seconds=2, seconds=30)


def make_program(tmp_path: Path, code: str) -> DumpEngine:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n")
    program.chmod(0o700)
    return DumpEngine("program", (str(program),), {})


def run(tmp_path: Path, code: str, limits: ChildLimits = LIMITS, arch: str = "") -> bytes:
    engine = make_program(tmp_path, code)
    with TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        return b"".join(dump(engine, file, "it's a name", arch, limits))


def test_dump_passes_the_file_and_the_name(tmp_path: Path) -> None:
    code = "print(sys.argv[1:-1], open(sys.argv[-1]).read(), os.getcwd())"
    text = run(tmp_path, code, arch="arm64").decode()
    assert text == "[\"--name=it's a name\", '--arch=arm64'] content /\n"


def test_dump_passes_the_other_files_by_option(tmp_path: Path) -> None:
    code = "print(sys.argv[2].split('=')[0], open(sys.argv[2].split('=')[1]).read())"
    with TemporaryFile() as file, TemporaryFile() as executable:
        executable.write(b"executable")
        executable.flush()
        program = make_program(tmp_path, code)
        text = b"".join(dump(program, file, "name", "", LIMITS, others={"cfi": executable}))
    assert text == b"--cfi executable\n"


def test_dump_passes_offsets_in_hexadecimal(tmp_path: Path) -> None:
    with TemporaryFile() as file:
        program = make_program(tmp_path, "print(sys.argv[2])")
        text = b"".join(dump(program, file, "name", "", LIMITS, offsets=[0x1F, 0x2A]))
    assert text == b"--offsets=1f,2a\n"


def test_dump_long_text_is_complete(tmp_path: Path) -> None:
    assert run(tmp_path, "sys.stdout.write('x' * 5_000_000)") == b"x" * 5_000_000


def test_dump_gives_the_program_no_environment(tmp_path: Path) -> None:
    assert b"SECRET" not in run(tmp_path, "print(os.environ)")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('a warning\\nno symbols', file=sys.stderr); sys.exit(2)", "^no symbols$"),
        ("sys.exit(2)", "no symbols that can be read"),
        ("sys.exit(1)", "ended with status 1"),
        ("os.kill(os.getpid(), 11)", "ended with signal 11"),
        (
            "os.write(2, b'memory allocation of 99 bytes failed\\nstack\\n'); os.abort()",
            "the file needs more memory than it may have",
        ),
        ("os.write(2, b'odd'); os.abort()", "ended with signal 6"),
        ("b = bytearray(2 << 30)", "ended with status 1"),
        ("while True: pass", "ended with signal"),
    ],
)
def test_dump_that_fails_is_malformed_with_the_reason(tmp_path: Path, code: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        run(tmp_path, code)


def test_dump_by_a_program_that_is_missing_is_unavailable() -> None:
    engine = DumpEngine("program", ("/nowhere/program",), {})
    with TemporaryFile() as file, pytest.raises(Unavailable, match="cannot be started on this host"):
        list(dump(engine, file, "name", "", LIMITS))


def test_dump_with_a_limit_that_the_host_refuses_is_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit above that of the host ends the shell in the same way, but not where root may raise it."""
    with pytest.raises(Unavailable, match="cannot be started on this host"):
        run(tmp_path, "print('runs without limits')", LIMITS._replace(cpu_seconds=-1))
    assert "ulimit" in caplog.text


def test_dump_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="ended with signal 9"):
        run(tmp_path, "print('MODULE', flush=True); time.sleep(600)", LIMITS._replace(seconds=0.5))


def test_dump_program_that_closes_its_output_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.storage.child_process.END_SECONDS", 0.1)
    with pytest.raises(Malformed, match="ended with signal 9"):
        run(tmp_path, "os.close(1); time.sleep(600)")


def test_dump_that_is_abandoned_leaves_no_process(tmp_path: Path) -> None:
    code = "print(os.getpid(), ' ' * 1_000_000, flush=True); time.sleep(600)"
    with TemporaryFile() as file:
        text = dump(make_program(tmp_path, code), file, "name", "", LIMITS)
        number = int(next(text).split()[0])
        text.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_engine_is_the_program_where_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_engine() == find_python_engine()
    (tmp_path / "tecken-dump").touch()
    assert find_engine() == find_rust_engine() == DumpEngine("tecken-dump", (f"{tmp_path}/tecken-dump",), {})


def test_engine_in_python_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.storage.dump.PYTHON_LIBRARY", "a_library_that_nobody_has")
    assert find_python_engine() is None


def test_engine_in_python_has_the_version_of_its_library() -> None:
    engine = find_python_engine()
    assert engine
    assert re.fullmatch(r"symbolic \d+\.\d+\.\d+", engine.version())


def test_engine_in_python_fits_into_little_memory() -> None:
    engine = find_python_engine()
    assert engine
    with LIBRARY.open("rb") as file:
        text = b"".join(dump(engine, file, "name", "", ChildLimits(memory_bytes=256 << 20)))
    assert text.startswith(b"MODULE Linux x86_64 ")
