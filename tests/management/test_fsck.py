from __future__ import annotations

import gzip
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from tecken.storage import services as storage_services
from tecken.storage.models import FetchedModule, SymbolFile
from tecken.storage.port import OwnFiles
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.upload.models import Upload
from tests.management.conftest import SAMPLES, Manage
from tests.symbolication.samples import page_file, sym

pytestmark = pytest.mark.django_db
CRASH_C = ObjectId("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
SYM = symbol_file(XUL)


@pytest.fixture(autouse=True)
def no_upstream(house: Settings) -> None:
    house.SYMBOL_SOURCES = []


Store = Callable[..., SymbolFile]


@pytest.fixture
def store() -> Store:
    """Return a function that stores a file with its row, as an upload does."""
    user = get_user_model().objects.create(username="ada")

    def stored(files: OwnFiles, key: FileKey = SYM, content: bytes = sym(XUL)) -> SymbolFile:
        upload = Upload.objects.create(user=user, bucket_name=files.name)
        there = files.put(key, [gzip.compress(content)])
        return SymbolFile.objects.create(
            upload=upload,
            bucket_name=files.name,
            key=f"v1/{key}",
            size=there.size,
            etag=there.etag,
            completed_at=timezone.now(),
        )

    return stored


def told(manage: Manage, *args: str) -> list[str]:
    return manage("symbols", "fsck", *args).splitlines()


def fails(manage: Manage, match: str) -> str:
    """Check that the command fails. Return the first line of its output."""
    with pytest.raises(CommandError, match=match):
        manage("symbols", "fsck")
    return told(manage, "--repair")[0]


def test_fsck_empty_site_has_no_problems(manage: Manage) -> None:
    assert told(manage) == ["0 files, 0 page files: 0 problems"]


def test_fsck_uploaded_and_added_files_have_no_problems(manage: Manage, store: Store) -> None:
    store(storage_services.own_files())
    store(storage_services.own_files())
    store(storage_services.try_files())
    store(storage_services.try_files(), FileKey("xul.pdb", XUL.debug_id, "xul.dll"))
    manage("symbols", "add", str(SAMPLES / "crash-c"))
    assert told(manage) == ["4 files, 1 page files: 0 problems"]


def test_fsck_announced_row_needs_no_file(manage: Manage, store: Store) -> None:
    row = store(storage_services.own_files())
    SymbolFile.objects.filter(pk=row.pk).update(completed_at=None)
    storage_services.own_files().delete(SYM)
    assert told(manage) == ["0 files, 0 page files: 0 problems"]


@pytest.mark.parametrize("which", ["own_files", "try_files"])
def test_fsck_row_without_a_file_is_removed(manage: Manage, store: Store, which: str) -> None:
    files: OwnFiles = getattr(storage_services, which)()
    store(files)
    files.delete(SYM)
    assert fails(manage, "0 files, 0 page files: 1 problems") == f"{files.name}/v1/{SYM}: a row and no file"
    assert not SymbolFile.objects.exists()
    assert told(manage) == ["0 files, 0 page files: 0 problems"]


def test_fsck_row_of_another_file_is_removed_and_the_file_stays(manage: Manage, store: Store) -> None:
    store(storage_services.own_files())
    storage_services.own_files().put(SYM, [b"the row of this was never written"])
    assert fails(manage, "1 problems").endswith(": another file than in its row")
    assert not SymbolFile.objects.exists()
    assert told(manage) == ["1 files, 0 page files: 0 problems"]


def test_fsck_older_row_is_no_problem(manage: Manage, store: Store) -> None:
    store(storage_services.own_files(), content=b"first")
    store(storage_services.own_files(), content=b"second and longer")
    assert told(manage) == ["1 files, 0 page files: 0 problems"]


def test_fsck_page_file_older_than_its_symbols_is_removed(manage: Manage, tmp_path: Path) -> None:
    manage("symbols", "add", str(SAMPLES / "crash-c"))
    (stored,) = tmp_path.rglob("crash-c.sym")
    os.utime(stored, (time.time() + 60, time.time() + 60))
    assert fails(manage, "1 problems") == f"page file of {CRASH_C}: older than the symbol file"
    assert told(manage) == ["1 files, 0 page files: 0 problems"]


def test_fsck_page_file_without_symbols_is_removed(manage: Manage) -> None:
    storage_services.page_files().write(XUL, [page_file(sym(XUL))])
    assert fails(manage, "1 problems") == f"page file of {XUL}: there is no symbol file"
    assert told(manage) == ["0 files, 0 page files: 0 problems"]


def test_fsck_page_file_of_a_former_release_is_removed(manage: Manage, store: Store, tmp_path: Path) -> None:
    store(storage_services.own_files())
    (stored,) = tmp_path.rglob("xul.sym")
    stored.with_name("xul.sym.pages").write_bytes(page_file(sym(XUL)))
    line = f"v1/{SYM}.pages: it is of a former release, and never read"
    assert fails(manage, "1 files, 0 page files: 1 problems") == line
    assert told(manage) == ["1 files, 0 page files: 0 problems"]
    assert stored.exists()


def test_fsck_page_file_of_another_spelling_than_its_symbols_is_in_order(
    manage: Manage, store: Store
) -> None:
    other = ObjectId("XUL.pdb", XUL.debug_id)
    store(storage_services.own_files(), symbol_file(other))
    storage_services.page_files().write(XUL, [page_file(sym(XUL))])
    assert told(manage) == ["1 files, 1 page files: 0 problems"]


def test_fsck_page_file_of_try_symbols_belongs_to_the_try_file(manage: Manage, store: Store) -> None:
    store(storage_services.try_files())
    storage_services.page_files().write(XUL.in_try(), [page_file(sym(XUL))])
    assert told(manage) == ["1 files, 1 page files: 0 problems"]


def test_fsck_page_file_of_an_upstream_is_no_problem(manage: Manage, house: Settings) -> None:
    storage_services.page_files().write(XUL, [page_file(sym(XUL))])
    FetchedModule.objects.create(debug_file=XUL.name, debug_id=XUL.debug_id, received_size=1, stored_size=1)
    house.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    assert told(manage) == ["0 files, 1 page files: 0 problems"]


def test_fsck_page_file_without_a_record_is_removed(
    manage: Manage, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was fetched while the database was down, or before there were records."""
    monkeypatch.setattr(symbolication_services, "send_convert", lambda module: pytest.fail(str(module)))
    storage_services.page_files().write(XUL, [page_file(sym(XUL))])
    house.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    text = f"page file of {XUL}: there is no symbol file"
    assert told(manage, "--repair") == [text, "0 files, 1 page files: 1 problems, repaired"]
    assert told(manage) == ["0 files, 0 page files: 0 problems"]


def test_fsck_unreachable_storage_fails_with_the_reason(manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("no directory")
    with pytest.raises(CommandError, match="Not a directory"):
        manage("symbols", "fsck", stderr=io.StringIO())
