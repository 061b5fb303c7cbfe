"""Copies of a storage, damage of each kind, and what a restore refuses. Whole sites are in tests/system."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection
from pytest_django import Settings

from tecken.management.backups.archive import (
    DATABASE,
    FORMAT,
    REDIS_CACHE,
    BackupArchive,
    FileEntry,
    Manifest,
    pack_lines,
)
from tecken.management.backups.storage_copy import (
    CopyCounts,
    FileIndex,
    StorageCopy,
    open_places,
    stored_sources,
)
from tecken.management.backups.upkeep import check_all, prune
from tests.management.conftest import Manage

pytestmark = pytest.mark.django_db
SMALL, LARGE, REPLACED = "v1/a.pdb/A0/a.sym", "v1/b.pdb/B0/b.sym", "blob/00/" + "0" * 64


class Backups:
    """Storage with three files, and a destination."""

    def __init__(self, home: Path, settings: Settings) -> None:
        settings.STORAGE_URL = f"file://{home}/storage"
        self.storage = open_places()["storage"]
        self.directory = home / "backups"
        self.archive = BackupArchive.open(str(self.directory))
        self.put(SMALL, b"small")
        self.put(LARGE, b"large" * 1000)
        self.put(REPLACED, b"blob" * 1000)

    def put(self, path: str, content: bytes) -> None:
        self.storage.put(path, [content])

    def make(
        self, *, migrations: list[str] | None = None, engine: str = connection.vendor
    ) -> tuple[str, CopyCounts]:
        """Make a backup as the command does, with a database of some bytes."""
        name = self.archive.new_name()
        with closing(FileIndex()) as known:
            complete, incomplete = self.archive.names()
            for earlier in [*complete[-1:], *incomplete]:
                known.load_lists(self.archive, earlier)
            known.load_objects(self.archive)
            copy = StorageCopy(self.archive, name, known, lambda _: None)
            copy.run(stored_sources(page_files=False))
        parts = [
            self.archive.put(name, REDIS_CACHE, pack_lines([])),
            self.archive.put(name, DATABASE, [b"database" * 100]),
            *copy.parts,
        ]
        places = {place: bucket.name for place, bucket in open_places().items()}
        manifest = Manifest(
            *(FORMAT, name, "1.0.0", "", engine, migrations or [], places),
            *(False, copy.counts.files, copy.counts.bytes, parts),
        )
        self.archive.complete(manifest)
        return name, copy.counts

    def part(self, name: str, part: str) -> Path:
        return self.directory / "backups" / name / part

    def objects(self) -> list[Path]:
        return sorted(path for path in (self.directory / "objects").rglob("*") if path.is_file())

    def problems(self) -> list[str]:
        return [text for text, is_problem in check_all(self.archive) if is_problem]


@pytest.fixture
def backups(tmp_path: Path, house: Settings) -> Backups:
    return Backups(tmp_path, house)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_backup_of_a_storage_is_intact(backups: Backups) -> None:
    name, counts = backups.make()
    assert (counts.files, counts.copied_files) == (3, 3)
    # The small file is in the list.
    assert len(backups.objects()) == 2
    assert list(check_all(backups.archive)) == [(f"{name}: intact", False)]


def test_backup_second_copies_what_is_new(backups: Backups) -> None:
    backups.make()
    backups.put(LARGE, b"other" * 1000)
    _, counts = backups.make()
    assert (counts.files, counts.copied_files, counts.copied_bytes) == (3, 1, 5000)


def test_backup_without_an_object_copies_it_again(backups: Backups) -> None:
    backups.make()
    backups.objects()[0].unlink()
    assert backups.make()[1].copied_files == 1
    assert backups.problems() == []


def test_backup_interrupted_is_continued_and_not_restored(backups: Backups, manage: Manage) -> None:
    name, _ = backups.make()
    backups.part(name, "manifest.json").unlink()
    assert backups.archive.names() == ([], [name])
    with pytest.raises(CommandError, match="has no complete backup"):
        manage("restore", str(backups.directory))
    with pytest.raises(CommandError, match="is incomplete and cannot be restored"):
        manage("restore", str(backups.directory), "--name", name)
    assert backups.make()[1].copied_files == 0


Damage = Callable[[Backups, str], object]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda backups, _: backups.objects()[0].unlink(), ": missing: the content of "),
        (lambda backups, _: backups.objects()[0].write_bytes(b"x"), ": 1 bytes, not "),
        (
            lambda backups, name: backups.part(name, "database").write_bytes(b"x"),
            "database: 1 bytes, not 800",
        ),
        (lambda backups, name: backups.part(name, "database").unlink(), "database: missing"),
        (lambda backups, name: flip(backups.part(name, "database")), "database: damaged"),
        (lambda backups, name: flip(backups.part(name, "redis-cache")), "redis-cache: damaged"),
        (lambda backups, name: flip(backups.part(name, "files-00000")), "files-00000: damaged"),
    ],
)
def test_restore_of_a_damaged_backup_changes_nothing(
    backups: Backups, manage: Manage, damage: Damage, text: str
) -> None:
    name, _ = backups.make()
    damage(backups, name)
    assert any(text in problem for problem in backups.problems())
    (backups.storage.directory or Path()).rename(backups.directory.parent / "former")
    with pytest.raises(CommandError, match=text) as error:
        manage("restore", str(backups.directory))
    assert "nothing was restored" in str(error.value)
    assert list(backups.storage.entries("v1")) == []


def test_verify_of_a_flipped_byte_names_the_file(backups: Backups, manage: Manage) -> None:
    backups.make()
    flip(backups.objects()[0])
    with pytest.raises(CommandError, match="1 problem"):
        manage("backup", "--verify", str(backups.directory))
    assert len(backups.problems()) == 1
    assert "damaged: the content of " in backups.problems()[0]


@pytest.mark.parametrize(
    "change", [flip, lambda path: path.write_bytes(b"{}"), lambda path: path.write_bytes(b"")]
)
def test_manifest_damaged_is_refused(
    backups: Backups, manage: Manage, change: Callable[[Path], None]
) -> None:
    name, _ = backups.make()
    change(backups.part(name, "manifest.json"))
    assert "damaged" in backups.problems()[0]
    with pytest.raises(CommandError, match="damaged"):
        manage("restore", str(backups.directory))


def test_restore_of_a_newer_release_is_refused(backups: Backups, manage: Manage) -> None:
    backups.make(migrations=["tokens.0001_initial", "tokens.9999_future"])
    with pytest.raises(CommandError, match=r"newer release \(1.0.0, with tokens.9999_future\)"):
        manage("restore", str(backups.directory))


def test_restore_of_another_kind_of_database_is_refused(backups: Backups, manage: Manage) -> None:
    backups.make(engine="oracle")
    with pytest.raises(CommandError, match="a database of oracle, and DATABASE_URL is of"):
        manage("restore", str(backups.directory))


def test_restore_into_a_storage_with_files_is_refused(backups: Backups, manage: Manage) -> None:
    backups.make()
    with pytest.raises(CommandError, match="not empty: the storage"):
        manage("restore", str(backups.directory))


def test_backup_while_another_one_runs_is_refused(backups: Backups, manage: Manage) -> None:
    with backups.archive.lock(), pytest.raises(CommandError, match="another backup to"):
        manage("backup", str(backups.directory))


def test_prune_keeps_the_last_and_their_objects(backups: Backups) -> None:
    backups.make()
    backups.put(LARGE, b"other" * 1000)
    second, _ = backups.make()
    assert prune(backups.archive, 2) == "removed 0 backups and 0 objects"
    assert prune(backups.archive, 1) == "removed 1 backups and 1 objects"
    assert backups.archive.names() == ([second], [])
    assert backups.problems() == []


def test_backup_of_a_file_that_is_deleted_meanwhile_counts_it(backups: Backups) -> None:
    class Gone(FileIndex):
        def find(self, entry: FileEntry) -> FileEntry | None:
            backups.storage.delete(entry.path)
            return super().find(entry)

    with closing(Gone()) as known:
        copy = StorageCopy(backups.archive, backups.archive.new_name(), known, lambda _: None)
        copy.run(stored_sources(page_files=False))
    assert (copy.counts.files, copy.counts.removed) == (0, 3)
