from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import zstandard
from django.core.management.base import CommandError
from pytest_django import Settings

from tests.management.conftest import SAMPLES, Manage

CRASH_C = "crash-c/DADBB96C91ED58F912FB09F7F2655E6F0"


@pytest.fixture
def no_upstream(house: Settings) -> None:
    house.SYMBOL_SOURCES = []


def text(module: str) -> bytes:
    return (SAMPLES / module / f"{module.partition('/')[0]}.sym").read_bytes()


@pytest.mark.usefixtures("no_upstream")
def test_add_directory_stores_files_that_symbolicate(manage: Manage) -> None:
    lines = manage("symbols", "add", str(SAMPLES)).splitlines()
    assert lines[-1] == "3 added, 0 skipped"
    assert any(line.startswith(f"{CRASH_C}: ") and line.endswith(" symbols") for line in lines)
    assert "main + 0x" in manage("symbolicate", str(SAMPLES / "stack.json"))


@pytest.mark.usefixtures("no_upstream")
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_add_compressed_files_stores_them(
    manage: Manage, tmp_path: Path, suffix: str, pack: type[bytes]
) -> None:
    (tmp_path / f"crash-c.sym{suffix}").write_bytes(pack(text(CRASH_C)))
    assert manage("symbols", "add", str(tmp_path)).splitlines()[-1] == "1 added, 0 skipped"
    assert manage("symbols", "show", CRASH_C).startswith(CRASH_C)


def test_add_invalid_file_skips_it_with_the_reason(manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "good.sym").write_bytes(text(CRASH_C))
    (tmp_path / "bad.sym").write_text("<html>")
    (tmp_path / "notes.txt").write_text("no symbols, and nobody says they were")
    stderr = io.StringIO()
    assert manage("symbols", "add", str(tmp_path), stderr=stderr).splitlines()[-1] == "1 added, 1 skipped"
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith(f"skipped {tmp_path}/bad.sym: ")


def test_add_file_of_limited_use_prints_a_warning(manage: Manage, tmp_path: Path) -> None:
    text = f"MODULE windows x86_64 {'0' * 33} mg.dll\nFUNC 1000 20 0 f\nFUNC 140001000 20 0 g\n"
    (tmp_path / "mg.sym").write_text(text)
    stderr = io.StringIO()
    assert "1 added" in manage("symbols", "add", str(tmp_path), stderr=stderr)
    first, second = stderr.getvalue().splitlines()
    assert "names no build" in first
    assert second.endswith("mg.sym: 1 left out: FUNC past 4 GiB")


def test_add_no_files_fails(manage: Manage, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no \.sym, "):
        manage("symbols", "add", str(tmp_path))
    (tmp_path / "bad.sym").write_text("<html>")
    with pytest.raises(CommandError, match="0 added, 1 skipped"):
        manage("symbols", "add", str(tmp_path))
    with pytest.raises(CommandError, match="nowhere: no such file or directory"):
        manage("symbols", "add", "nowhere")


@pytest.mark.usefixtures("no_upstream")
def test_add_missing_module_makes_it_available(manage: Manage) -> None:
    with pytest.raises(CommandError, match=f"{CRASH_C}: "):
        manage("symbols", "show", CRASH_C)
    manage("symbols", "add", str(SAMPLES / CRASH_C))
    assert manage("symbols", "show", CRASH_C).startswith(CRASH_C)


def test_show_module_prints_its_metadata(manage: Manage) -> None:
    lines = manage("symbols", "show", CRASH_C.lower()).splitlines()
    assert lines[0] == CRASH_C
    said = {line[2:14].strip(): line[15:] for line in lines[1:]}
    assert said["system"] == "Linux x86_64"
    assert len(said["generation"]) == 16
    assert " pages, " in said["page file"]


def test_show_offset_prints_the_symbol(manage: Manage) -> None:
    answer = manage("symbols", "show", CRASH_C, "4613")
    inlined, outer = answer.splitlines()
    assert inlined == "0x1205  per_person at /build/crash/src/crash.c:15 (inlined)"
    assert outer == "0x1205  by_price + 0x25 at /build/crash/src/crash.c:25"
    assert manage("symbols", "show", CRASH_C, "0x1205") == answer
    assert manage("symbols", "show", CRASH_C, "0x1") == "0x1  no symbol\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("crash-c",), "1 to 1024 characters"),
        (("crash-c/xyz",), "debug id must be"),
        ((CRASH_C, "here"), "expected a number"),
    ],
)
def test_show_invalid_module_or_offset_fails(manage: Manage, args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        manage("symbols", "show", *args)
