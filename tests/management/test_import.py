"""`symbols import`: stores that PyPI's symstore has written, and stores that are broken or hostile."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.test import Client
from pytest_django import Settings
from symstore.symstore import Store

from tecken.storage.models import SymbolFile
from tecken.upload.models import Protocol, Upload
from tests.management.conftest import Manage
from tests.upload.natives import DATA, UNWIND_ID, WINDOWS_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("builder")]
CABINET = DATA.parent / "cabinets" / "native.pd_"
EMAIL = "builder@example.com"
CODE_ID = "CD6F5F244000"


@pytest.fixture
def builder(house: Settings) -> User:
    house.SYMBOL_SOURCES = []
    return User.objects.create_user(EMAIL, EMAIL)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two transactions, the first one with a PDB and its program, the second one with a cabinet."""
    root = tmp_path / "symbols"
    add(root, "app", "1.0", "nightly, of today", DATA / "unwind.pdb", DATA / "unwind.exe")
    add(root, "app", "2.0", "", DATA / "native.pdb")
    (build,) = (root / "native.pdb").iterdir()
    (build / "native.pdb").unlink()
    shutil.copy(CABINET, build / "native.pd_")
    return root


def add(root: Path, product: str, version: str, comment: str, *files: Path) -> None:
    """Add a transaction to a store."""
    writer = Store(str(root))
    transaction = writer.new_transaction(product, version, comment)
    for file in files:
        transaction.add_entry(transaction.new_entry(str(file)))
    writer.commit(transaction)


def import_store(manage: Manage, store: Path, *options: str) -> list[str]:
    return manage("symbols", "import", str(store), "--user", EMAIL, *options).splitlines()


def failed_import(manage: Manage, store: Path, *options: str) -> tuple[str, str]:
    """Return the text of the error, and what was reported before."""
    stderr = io.StringIO()
    with pytest.raises(CommandError) as caught:
        manage("symbols", "import", str(store), "--user", EMAIL, *options, stderr=stderr)
    return str(caught.value), stderr.getvalue()


def body(client: Client, path: str) -> bytes | int:
    reply = client.get(path, follow=True)
    return b"".join(reply) if reply.status_code == 200 else reply.status_code


def test_import_makes_an_upload_of_each_transaction(manage: Manage, store: Path, client: Client) -> None:
    assert import_store(manage, store) == [
        "0000000001 app 1.0 (nightly, of today): 2 stored, 0 already there, 0 failed",
        "0000000002 app 2.0: 1 stored, 0 already there, 0 failed",
        "all transactions: 3 stored, 0 already there, 0 failed",
    ]
    first, second = Upload.objects.order_by("pk")
    assert (first.protocol, first.user.email, first.error) == (Protocol.IMPORT, EMAIL, "")
    assert first.filename == "symstore 0000000001 app 1.0 (nightly, of today)"
    assert first.completed_at is not None
    assert (first.members_total, first.members_done) == (2, 2)
    assert second.size == CABINET.stat().st_size
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == (DATA / "unwind.pdb").read_bytes()
    assert body(client, f"/unwind.exe/{CODE_ID}/unwind.exe") == (DATA / "unwind.exe").read_bytes()
    row = SymbolFile.objects.get(upload=first, code_file="unwind.exe")
    assert (row.format, row.code_id, row.native_id) == ("pe", CODE_ID, UNWIND_ID)


def test_import_with_origin_stores_it_with_each_upload(manage: Manage, store: Path) -> None:
    import_store(manage, store, "--build", "12", "--branch", "main")
    assert set(Upload.objects.values_list("build", "branch", "note")) == {("12", "main", "")}
    with pytest.raises(CommandError, match="note has 300 characters, at most 255"):
        import_store(manage, store, "--note", "x" * 300)


def test_import_unpacks_cabinets_as_an_upload_does(manage: Manage, store: Path, client: Client) -> None:
    import_store(manage, store)
    (build,) = (store / "native.pdb").iterdir()
    assert body(client, f"/native.pdb/{build.name}/native.pdb") == (DATA / "native.pdb").read_bytes()
    assert body(client, f"/native.pdb/{build.name}/native.pd_") == CABINET.read_bytes()


def test_second_run_stores_only_what_is_missing(manage: Manage, store: Path) -> None:
    import_store(manage, store)
    assert import_store(manage, store)[-1] == "all transactions: 0 stored, 3 already there, 0 failed"
    assert Upload.objects.count() == 2
    SymbolFile.objects.filter(code_file="unwind.exe").delete()
    assert import_store(manage, store)[-1] == "all transactions: 0 stored, 3 already there, 0 failed"
    assert SymbolFile.objects.filter(code_file="unwind.exe").exists()
    add(store, "app", "3.0", "", DATA / "native.exe")
    assert import_store(manage, store)[-1] == "all transactions: 1 stored, 3 already there, 0 failed"


def test_dry_run_stores_nothing(manage: Manage, store: Path) -> None:
    lines = import_store(manage, store, "--dry-run")
    assert lines[-1] == "all transactions: 3 to store, 0 already there, 0 failed"
    assert not Upload.objects.exists()
    import_store(manage, store)
    lines = import_store(manage, store, "--dry-run")
    assert lines[-1] == "all transactions: 0 to store, 3 already there, 0 failed"


def test_import_of_try_builds_is_apart(manage: Manage, store: Path, client: Client) -> None:
    import_store(manage, store, "--try")
    path = f"/unwind.pdb/{UNWIND_ID}/unwind.pdb"
    assert body(client, path) == 404
    assert body(client, f"/try{path}") == (DATA / "unwind.pdb").read_bytes()


def test_two_tiers_and_other_case_are_found(manage: Manage, tmp_path: Path) -> None:
    root = tmp_path / "tiers"
    add(root, "app", "1.0", "", DATA / "unwind.pdb")
    (root / "index2.txt").touch()
    (root / "UN").mkdir()
    (root / "unwind.pdb").rename(root / "UN" / "UNWIND.pdb")
    assert import_store(manage, root)[-1] == "all transactions: 1 stored, 0 already there, 0 failed"


def test_files_of_no_transaction_are_imported_last(manage: Manage, store: Path) -> None:
    shutil.rmtree(store / "000Admin")
    (store / "notes").mkdir()
    (store / "notes" / "readme.txt").write_text("no id")
    assert import_store(manage, store)[0] == "files of no transaction: 3 stored, 0 already there, 0 failed"


# Pointers


def put_pointer(store: Path, text: str) -> Path:
    build = store / "unwind.pdb" / UNWIND_ID
    (build / "unwind.pdb").unlink()
    (build / "file.ptr").write_text(text)
    return build


def test_pointer_is_followed_on_this_machine(manage: Manage, store: Path, client: Client) -> None:
    target = shutil.copy(DATA / "unwind.pdb", store.parent / "unwind.pdb")
    put_pointer(store, f"{target}\r\n")
    assert import_store(manage, store)[-1].startswith("all transactions: 3 stored")
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == (DATA / "unwind.pdb").read_bytes()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"\\builds\share\unwind.pdb", "which is not there"),
        ("MSG: moved to the archive", "a message in place of a path: moved to the archive"),
        ("", "which is not there"),
        ("/etc/passwd", "outside of the store, and of no known format"),
    ],
)
def test_pointer_that_leads_nowhere_is_reported(manage: Manage, store: Path, text: str, reason: str) -> None:
    put_pointer(store, text)
    error, report = failed_import(manage, store)
    assert error == "all transactions: 2 stored, 0 already there, 1 failed"
    assert report.startswith(f"skipped unwind.pdb/{UNWIND_ID}/file.ptr: ")
    assert reason in report
    upload = Upload.objects.get(filename__contains="0000000001")
    assert (upload.error, upload.completed_at) == ("1 files could not be imported", None)


def test_pointer_that_is_repaired_completes_the_upload(manage: Manage, store: Path) -> None:
    build = put_pointer(store, "gone")
    failed_import(manage, store)
    shutil.copy(DATA / "unwind.pdb", build / "unwind.pdb")
    (build / "file.ptr").unlink()
    assert import_store(manage, store)[-1] == "all transactions: 1 stored, 2 already there, 0 failed"
    upload = Upload.objects.get(filename__contains="0000000001")
    assert upload.error == ""
    assert upload.completed_at is not None


# Broken and hostile stores


def test_link_to_a_file_outside_is_not_published(manage: Manage, store: Path) -> None:
    build = store / "unwind.pdb" / UNWIND_ID
    (build / "unwind.pdb").unlink()
    (build / "unwind.pdb").symlink_to("/etc/passwd")
    assert "outside of the store" in failed_import(manage, store)[1]
    assert not SymbolFile.objects.filter(debug_file="unwind.pdb").exists()


@pytest.mark.parametrize(
    "line",
    [
        r'"..\..\etc","/x"',
        r'"unwind.pdb\..","/x"',
        r'"gone.pdb\3249D99D0C4049318610F4E4FB0B69361","/x"',
        '"nonsense"',
        '"\0\\\0"',
    ],
)
def test_line_that_is_no_entry_is_reported(manage: Manage, store: Path, line: str) -> None:
    with (store / "000Admin" / "0000000002").open("a") as file:
        file.write(f"{line}\n")
    error, report = failed_import(manage, store)
    assert error == "all transactions: 3 stored, 0 already there, 1 failed"
    assert "its directory does not exist" in report


def test_number_of_a_transaction_is_no_path(manage: Manage, store: Path) -> None:
    with (store / "000Admin" / "server.txt").open("a") as file:
        file.write('../../secret,add,file,11/20/2026,23:38:21,"a","b","",\n0000000009,del,0000000001\n\n')
    assert import_store(manage, store)[-1].startswith("all transactions: 3 stored")


def test_transaction_without_its_list_stops_with_the_reason(manage: Manage, store: Path) -> None:
    (store / "000Admin" / "0000000001").unlink()
    assert "0000000001 cannot be read: " in failed_import(manage, store)[0]


def test_list_in_the_encoding_of_windows_is_read(manage: Manage, store: Path) -> None:
    for name in ("server.txt", "0000000001"):
        path = store / "000Admin" / name
        path.write_bytes(b"\xff\xfe" + path.read_text().encode("utf-16-le"))
    path = store / "000Admin" / "0000000002"
    path.write_bytes(path.read_bytes().replace(b"/native.pdb", "/é.pdb".encode("cp1252")))
    assert import_store(manage, store)[-1].startswith("all transactions: 3 stored")


def test_pipe_and_other_files_are_not_read(manage: Manage, store: Path) -> None:
    os.mkfifo(store / "unwind.pdb" / UNWIND_ID / "pipe.pdb")
    (store / "unwind.pdb" / UNWIND_ID / "refs.ptr").write_text("0000000001,file,/x")
    assert import_store(manage, store)[-1].startswith("all transactions: 3 stored")


@pytest.mark.parametrize(
    ("path", "email", "reason"),
    [("/nowhere", EMAIL, "no such directory"), ("/", "x@example.com", "no user x@example.com")],
)
def test_import_without_store_or_user_is_an_error(manage: Manage, path: str, email: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        manage("symbols", "import", path, "--user", email)


def test_other_content_under_one_key_is_reported(manage: Manage, store: Path) -> None:
    """`upload_replace` decides, as for an upload."""
    import_store(manage, store)
    build = store / "unwind.pdb" / UNWIND_ID
    assert build.name != WINDOWS_ID
    shutil.copy(DATA / "native.pdb", build / "unwind.pdb")
    SymbolFile.objects.all().delete()
    lines = import_store(manage, store)
    assert lines[-1] == "all transactions: 1 stored, 2 already there, 0 failed"
