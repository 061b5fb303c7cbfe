"""fsck of the content that native files share."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from pytest_django import Settings

from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.models import Blob, SymbolFile
from tecken.symbols.layouts import FileKey, blob_path, reference_path
from tecken.upload.ingest import ingest_file
from tecken.upload.models import Upload
from tests.management.conftest import Manage

pytestmark = pytest.mark.django_db
ONE = FileKey("libone.so", "44E4EC8C2F41492B9369D6B9A059577C2", "libone.so")
OTHER = FileKey("libother.so", "A" * 33, "libother.so")
TEXT = b"\x7fELF" + b"".join(b"symbol %d\n" % number for number in range(5000))


@pytest.fixture(autouse=True)
def no_upstream(house: Settings) -> None:
    house.SYMBOL_SOURCES = []


def upload(*keys: FileKey) -> str:
    """Upload a native file under each key. Return the path of their content."""
    files = storage_services.own_files()
    user, _ = get_user_model().objects.get_or_create(username="ada")
    made = Upload.objects.create(user=user, bucket_name=files.name)
    for key in keys:
        ingest_file(made, key, lambda: [TEXT], len(TEXT))
    return blob_path(Blob.objects.get().sha256)


def path_of(tmp_path: Path, name: str) -> Path:
    return tmp_path / "storage" / name


def problems(manage: Manage, *args: str) -> list[str]:
    """Return the problems without the storage's name, after a repair that leaves none."""
    with pytest.raises(CommandError):
        manage("symbols", "fsck", *args)
    lines = manage("symbols", "fsck", "--repair", *args).splitlines()[:-1]
    assert manage("symbols", "fsck", *args).endswith(": 0 problems\n")
    return [line.removeprefix(f"{storage_services.own_files().name}/") for line in lines]


def test_fsck_native_files_that_share_content_have_no_problems(manage: Manage) -> None:
    upload(ONE, OTHER)
    assert manage("symbols", "fsck", "--content") == "2 files, 0 page files: 0 problems\n"


def test_fsck_missing_content_removes_the_rows_of_all_its_files(manage: Manage, tmp_path: Path) -> None:
    blob = upload(ONE, OTHER)
    path_of(tmp_path, blob).unlink()
    assert problems(manage) == [f"{blob}: a row and no content"]
    assert not SymbolFile.objects.exists()
    assert not Blob.objects.exists()
    assert list(storage_services.own_files().keys()) == []
    assert upload(ONE) == blob


def test_fsck_lost_reference_is_removed(manage: Manage, tmp_path: Path) -> None:
    blob = upload(ONE)
    SymbolFile.objects.all().delete()
    Blob.objects.all().delete()
    path_of(tmp_path, blob).unlink()
    assert problems(manage) == [f"{reference_path(ONE)}: a reference to content that is not there"]
    assert list(storage_services.own_files().keys()) == []


def test_fsck_content_of_no_file_is_removed_after_a_day(manage: Manage, tmp_path: Path) -> None:
    files = storage_services.own_files()
    blob = blob_path(files.put(ONE, [TEXT]).blob)
    files.delete(ONE)
    assert manage("symbols", "fsck").endswith(": 0 problems\n")
    yesterday = time.time() - 2 * 86_400
    os.utime(path_of(tmp_path, blob), (yesterday, yesterday))
    assert problems(manage) == [f"{blob}: content of no file"]
    assert not path_of(tmp_path, blob).exists()


def test_fsck_content_of_a_file_without_row_is_no_problem(manage: Manage, tmp_path: Path) -> None:
    blob = blob_path(storage_services.own_files().put(ONE, [TEXT]).blob)
    yesterday = time.time() - 2 * 86_400
    os.utime(path_of(tmp_path, blob), (yesterday, yesterday))
    assert manage("symbols", "fsck", "--content").endswith(": 0 problems\n")


def test_fsck_truncated_content_is_removed(manage: Manage, tmp_path: Path) -> None:
    blob = upload(ONE)
    path = path_of(tmp_path, blob)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert problems(manage) == [f"{blob}: {size - 1} bytes, not {size} as in its row"]
    with pytest.raises(NotFound):
        storage_services.own_files().stat(ONE)
    assert not SymbolFile.objects.exists()


def test_fsck_intact_content_of_another_stored_size_gets_that_size(manage: Manage) -> None:
    upload(ONE)
    size = Blob.objects.get().stored_size
    Blob.objects.update(stored_size=1)
    assert problems(manage)[0].endswith(f": {size} bytes, not 1 as in its row")
    assert Blob.objects.get().stored_size == size
    assert SymbolFile.objects.exists()


def test_fsck_damaged_content_is_found_when_it_is_read(manage: Manage, tmp_path: Path) -> None:
    blob = upload(ONE)
    path = path_of(tmp_path, blob)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert manage("symbols", "fsck").endswith(": 0 problems\n")
    assert problems(manage, "--content") == [f"{blob}: other content than its hash"]
    assert not path.exists()
