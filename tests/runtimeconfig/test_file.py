"""Backend in a file: changes by hand, invalid content, and a lock that another process holds."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.runtimeconfig.backend import LEVEL_KEYS, REPORT_SECONDS, Change, Report, Values
from tecken.runtimeconfig.backends import file
from tecken.runtimeconfig.backends.file import FileBackend

JOBS = {"symbolicate_max_jobs": "20"}
FIRST = Change(1, "a", "alice", "", "2026-11-21T22:00:00+00:00", "cli")
WRITER = """
import sys
from pathlib import Path
from tecken.errors import Conflict
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backend import Change
backend, won = FileBackend(Path(sys.argv[1])), 0
while won < 20:
    there = backend.read()
    try:
        change = Change(there.version + 1, sys.argv[2], "", "", "", "")
        backend.write(change, {**there.texts, f"{sys.argv[2]} {won}": "x"}, expected=there.version)
    except Conflict:
        continue
    won += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def backend(path: Path) -> FileBackend:
    return FileBackend(path)


def test_head_without_file_creates_file_and_directory(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "config.json"
    FileBackend(path).head()
    assert json.loads(path.read_text()) == {"version": 0, "change": None, "texts": {}}


def test_head_after_removal_creates_the_file_again(backend: FileBackend, path: Path) -> None:
    backend.write(FIRST, JOBS, expected=0)
    path.unlink()
    assert backend.head().version == 0


def test_read_in_another_process_has_the_written_values(backend: FileBackend, path: Path) -> None:
    other = FileBackend(path)
    assert other.head().version == 0
    backend.write(FIRST, JOBS, expected=0)
    assert other.read() == Values(1, "a", JOBS)


def test_read_after_a_change_by_hand_has_no_stamp(backend: FileBackend, path: Path) -> None:
    backend.write(FIRST, JOBS, expected=0)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2', 1).replace('"20"', '"30"'))
    assert backend.read() == Values(2, "", {"symbolicate_max_jobs": "30"})


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"x",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"version": "1", "texts": {}}',
        b'{"version": true, "texts": {}}',
        b'{"version": -1, "texts": {}}',
        b'{"version": 1}',
        b'{"version": 1, "texts": {"symbolicate_max_jobs": 20}}',
        b"[" * 100_000,
    ],
)
def test_read_of_invalid_content_raises_could_not_ask(
    backend: FileBackend, path: Path, garbage: bytes
) -> None:
    path.write_bytes(garbage)
    for ask in (backend.head, backend.read):
        with pytest.raises(Unavailable, match="config"):
            ask()
    path.write_text('{"version": 3, "texts": {}}')
    assert backend.read() == Values(3, "", {})


def test_read_of_unusable_path_raises_could_not_ask(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file" / "config.json"):
        with pytest.raises(Unavailable):
            FileBackend(path).head()
        with pytest.raises(Unavailable):
            FileBackend(path).write(FIRST, JOBS, expected=0)


@pytest.mark.parametrize("key", ["is-under-maintenance", "uploads-closed"])
def test_maintenance_begins_with_touch_and_ends_with_rm(backend: FileBackend, path: Path, key: str) -> None:
    mark = path.with_name("config.json.d") / key
    mark.parent.mkdir()
    mark.touch()
    assert "" in backend.head()[2:]
    mark.unlink()
    assert backend.head()[2:] == (None, None)


def test_write_with_a_held_lock_raises_soon(
    backend: FileBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "LOCK_SECONDS", 0.0)
    backend.write(FIRST, JOBS, expected=0)
    with (path.with_name("config.json.d") / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="locked"):
            backend.write(FIRST._replace(version=2), {}, expected=1)
    assert backend.read() == Values(1, "a", JOBS)


def test_write_from_several_processes_loses_nothing(backend: FileBackend, path: Path) -> None:
    names = ["one", "two", "three"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in names]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    there = backend.read()
    assert (there.version, len(there.texts)) == (60, 60)
    assert sorted(one.name for one in path.parent.iterdir()) == ["config.json", "config.json.d"]


def test_reports_removes_old_files(backend: FileBackend, path: Path) -> None:
    report = Report("host:1", "web", 1, "a", 0.0, 0)
    backend.report(report)
    backend.report(report._replace(process="host:2"))
    old = path.with_name("config.json.d") / "processes" / "host:1"
    long_ago = old.stat().st_mtime - REPORT_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    assert [one.process for one in backend.reports()] == ["host:2"]
    assert not old.exists()


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("2020-01-01T00:00:00+00:00", None),
        ("2020-01-01T00:00:00", None),
        ("2999-01-01T00:00:00", "update"),
        ("tomorrow", "update\nuntil tomorrow"),
    ],
)
def test_maintenance_with_an_end_by_hand_has_it_in_utc(
    backend: FileBackend, path: Path, end: str, text: str | None
) -> None:
    mark = path.with_name("config.json.d") / LEVEL_KEYS["full"]
    mark.parent.mkdir()
    mark.write_text(f"update\nuntil {end}")
    assert backend.head().maintenance == text
