"""`manage.py minidump`."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import orjson
import pytest
from django.core.management.base import CommandError

from tests.management.conftest import Manage
from tests.support.minidump_samples import CORES
from tests.symbolication.crash_dumps.jobs import crash_dump


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "crash.dmp"
    path.write_bytes(crash_dump())
    return path


def test_minidump_prints_the_crash_and_its_stack(manage: Manage, dump: Path) -> None:
    stderr = io.StringIO()
    lines = manage("minidump", str(dump), stderr=stderr).splitlines()
    assert lines[0].startswith("crash-c crashed in per_person (crash.c:15)")
    assert any(line.startswith("#0   crash-c!by_price [/build/crash/src/crash.c:25]") for line in lines)
    assert stderr.getvalue() == "preparing crash-c/DADBB96C91ED58F912FB09F7F2655E6F0\n"
    stderr = io.StringIO()
    assert manage("minidump", str(dump), stderr=stderr).splitlines() == lines
    assert stderr.getvalue() == ""


def test_minidump_with_json_prints_the_report(manage: Manage, dump: Path) -> None:
    report = orjson.loads(manage("minidump", str(dump), "--json"))
    assert report["modules"][0]["symbols"] == "loaded"


def test_minidump_with_all_threads_prints_every_module(manage: Manage, dump: Path) -> None:
    assert "crash-c (0x0000000000400000" in manage("minidump", str(dump), "--all-threads")


def test_minidump_compressed_or_on_standard_input_is_read(
    manage: Manage, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = manage("minidump", str(dump))
    packed = dump.with_suffix(".gz")
    packed.write_bytes(gzip.compress(crash_dump()))
    assert manage("minidump", str(packed)) == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed.read_bytes())))
    assert manage("minidump", "-") == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"text", "does not begin with MDMP"),
        (b"\x1f\x8b\x08", "gzip data ends early"),
    ],
    ids=["empty", "text", "cut"],
)
def test_minidump_that_cannot_be_read_is_an_error(
    manage: Manage, dump: Path, content: bytes, reason: str
) -> None:
    dump.write_bytes(content)
    with pytest.raises(CommandError, match=f"^{dump}: .*{reason}"):
        manage("minidump", str(dump))


def test_minidump_reads_a_core_file(manage: Manage, dump: Path) -> None:
    dump.write_bytes(CORES["core"]())
    assert manage("minidump", str(dump)).startswith("crash crashed")
    report = orjson.loads(manage("minidump", str(dump), "--json"))
    assert report["crash_info"]["type"] == "SIGSEGV / SEGV_MAPERR"
    assert report["system_info"]["cpu_arch"] == "amd64"


def test_minidump_without_a_file_is_an_error(manage: Manage) -> None:
    with pytest.raises(CommandError, match="no-such-file: No such file or directory"):
        manage("minidump", "no-such-file")
