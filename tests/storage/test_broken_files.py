"""Files with errors in the child processes of both engines: each is converted, or refused with a reason."""

from __future__ import annotations

import random
from tempfile import TemporaryFile

import pytest

from tecken.errors import Malformed
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import DumpEngine, dump, unpack_cabinet
from tests.support.broken_files import DATA, elf_with, mutants, mutate, unfolding_name
from tests.support.cabinets import LZX, MSZIP, PLAIN, cabinet
from tests.support.engines import ENGINES, engine_for

# The engine in Python takes a fifth of a second to start.
COUNTS = {"tecken-dump": 60, "symbolic": 24}
LIMITS = ChildLimits(memory_bytes=2 << 30, cpu_seconds=60, seconds=300)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> DumpEngine:
    return engine_for(request.param)


def convert(engine: DumpEngine, content: bytes) -> bytes:
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        return b"".join(dump(engine, file, "name", "", LIMITS))


def unpack(engine: DumpEngine, content: bytes) -> bytes:
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        return b"".join(unpack_cabinet(engine, file, LIMITS))


def test_dump_of_broken_files_is_text_or_a_reason(engine: DumpEngine) -> None:
    results = []
    for _, content in mutants(COUNTS[engine.title], seed=20261129):
        try:
            results.append(convert(engine, content).startswith(b"MODULE "))
        except Malformed as error:
            results.append(bool(str(error)))
    assert results == [True] * COUNTS[engine.title]


def test_dump_of_names_that_end_demanglers_has_the_others_demangled(engine: DumpEngine) -> None:
    explosive = unfolding_name(26)
    assert 270 <= len(explosive) <= 280
    text = convert(engine, elf_with(["_Z5firstv", explosive, "_Z4lastv"])).decode()
    assert [line.split(" ", 3)[3] for line in text.splitlines() if "PUBLIC" in line] == [
        "first()",
        explosive,
        "last()",
    ]


@pytest.mark.parametrize("count", [3000, 4000])
def test_dump_of_long_names_keeps_them(engine: DumpEngine, count: int) -> None:
    name = f"_Z{'1a' * count}v"
    assert convert(engine, elf_with([name])).decode().splitlines()[-1] == f"PUBLIC 1000 0 {name}"


@pytest.mark.parametrize("size", [8192, 8193, 16384, 40000])
def test_dump_of_names_over_the_bound_has_their_start(engine: DumpEngine, size: int) -> None:
    text = convert(engine, elf_with(["a" * size, "last"])).decode()
    assert text.splitlines()[-2:] == [f"PUBLIC 1000 0 {'a' * 8192}", "PUBLIC 1001 0 last"]


def test_unpack_of_each_method_is_the_content(engine: DumpEngine) -> None:
    pdb = (DATA / "native" / "native.pdb").read_bytes()
    assert unpack(engine, (DATA / "cabinets" / "native.pd_").read_bytes()) == pdb
    # Blocks that do not compress, that refer to the one before, and a last one of odd length.
    content = random.Random(1).randbytes(40_001) + pdb
    for method in (PLAIN, MSZIP):
        assert unpack(engine, cabinet(content, method=method)) == content
    if engine.title == "tecken-dump":
        assert unpack(engine, cabinet(content, method=LZX)) == content
    else:
        with pytest.raises(Malformed, match="packed with LZX, which only tecken-dump reads"):
            unpack(engine, cabinet(content, method=LZX))


@pytest.mark.parametrize("method", [PLAIN, MSZIP, LZX])
def test_unpack_of_broken_cabinets_is_content_or_a_reason(engine: DumpEngine, method: int) -> None:
    chance = random.Random(20261130)
    good = cabinet((DATA / "native" / "native.pdb").read_bytes(), method=method)
    for _ in range(COUNTS[engine.title] // 4):
        try:
            unpack(engine, mutate(good, chance))
        except Malformed as error:
            assert str(error)  # noqa: PT017 - most mutants raise, and some do not


@pytest.mark.parametrize(
    "content", [cabinet(b"x", damage=1), cabinet(b"xy", files=2), cabinet(b"x")[:-1], b"x"]
)
def test_unpack_of_a_file_with_a_fault_is_refused(engine: DumpEngine, content: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(engine, content)
