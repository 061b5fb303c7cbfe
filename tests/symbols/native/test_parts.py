"""Parts of a text: `tecken-dump --offsets` has the same frames for its offsets as the whole text."""

from __future__ import annotations

import io
import random
import string
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tecken.storage.dump import find_rust_engine
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.convert import PageFileWriter
from tests.upload.natives import needs_rust

pytestmark = needs_rust

DATA = Path(__file__).parents[2] / "data"
FILES = [path for folder in ("native", "inlines") for path in sorted((DATA / folder).iterdir())]
# They have no symbols of their own.
REFUSED = {"arm64.exe", "common.debug", "native.exe", "split.dwp"}
SINGLE_OFFSETS = 12


def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    engine = find_rust_engine()
    assert engine
    return subprocess.run((*engine.command, *arguments), capture_output=True, timeout=60, check=False)


def dump(*arguments: str | Path) -> bytes:
    result = run(*arguments)
    assert result.returncode == 0
    return result.stdout


def frames(text: bytes, offsets: Iterable[int]) -> dict[int, Frame | None]:
    if not any(record in text for record in (b"\nFUNC ", b"\nPUBLIC ")):
        return dict.fromkeys(offsets)
    writer = PageFileWriter(io.BytesIO(), io.BytesIO())
    writer.feed(text)
    writer.finish_scan()
    return dict(writer.frames_at(offsets))


def boundaries(text: bytes) -> list[int]:
    """Return the offsets where a function, a symbol or a line begins, those before, and one after all."""
    starts = {0}
    for line in text.decode().splitlines():
        first, *fields = line.split(" ")
        if first in ("FUNC", "PUBLIC"):
            starts.add(int(fields[1] if fields[0] == "m" else fields[0], 16))
        elif len(fields) == 3 and first[0] not in string.ascii_uppercase:
            starts.add(int(first, 16))
    return sorted(starts | {max(0, start - 1) for start in starts} | {max(starts) + 0x10000})


def part(path: Path, offsets: Iterable[int], *arguments: str | Path) -> bytes:
    return dump(*arguments, "--offsets", ",".join(f"{offset:x}" for offset in offsets), path)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name not in REFUSED], ids=lambda path: path.name
)
def test_part_has_the_frames_of_the_whole_text(path: Path) -> None:
    whole = dump(path)
    offsets = boundaries(whole)
    expected = frames(whole, offsets)
    assert frames(part(path, offsets), offsets) == expected
    for offset in random.Random(path.name).sample(offsets, min(SINGLE_OFFSETS, len(offsets))):
        assert frames(part(path, [offset]), [offset]) == {offset: expected[offset]}


@pytest.mark.parametrize(
    ("option", "other", "name"),
    [("--package", "split.dwp", "split.so"), ("--supplementary", "common.debug", "common.so")],
)
def test_part_with_another_file_has_the_frames_of_the_whole_text(option: str, other: str, name: str) -> None:
    folder = DATA / "inlines"
    whole = dump(option, folder / other, folder / name)
    offsets = boundaries(whole)
    assert frames(part(folder / name, offsets, option, folder / other), offsets) == frames(whole, offsets)


def test_part_has_only_the_units_that_it_needs() -> None:
    path = DATA / "native" / "libnative.so"
    whole = dump(path)
    assert b"FUNC" in part(path, [0x1335])
    assert b"FUNC" not in part(path, [0])
    assert b"STACK" in whole
    assert b"STACK" not in part(path, [0x1335])


def test_part_with_offset_that_is_no_number_is_refused() -> None:
    result = run("--offsets", "1f,x", DATA / "native" / "libnative.so")
    assert result.returncode == 64
    assert b"invalid digit" in result.stderr
