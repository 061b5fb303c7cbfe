"""The models and the migrations of the whole site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tecken.storage.models import SymbolFile

BEFORE: list[Any] = [("storage", None), ("upload", "0003_replaced_by_and_any_case")]
BUILD_ID = "6CB9BBDAED9158F912FB09F7F2655E6F2D5EA5A2"
OF_BUILD_ID = "DABBB96C91EDF95812FB09F7F2655E6F0"
OTHER = "44E4EC8C2F41492B9369D6B9A059577C2"


@pytest.mark.django_db
def test_models_compared_with_migrations_are_the_same() -> None:
    """`--check` exits with 1 when a migration is missing."""
    call_command("makemigrations", "--check", "--dry-run", "--verbosity", "0")


@pytest.fixture
def before(transactional_db: None) -> Iterator[Any]:
    """The models as they were before SymbolFile moved to storage; afterwards all migrations are applied."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield executor.loader.project_state([("upload", BEFORE[1][1])]).apps
    migrate()


def migrate() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def add_file(before: Any, name: str, debug_id: str = OTHER, code_id: str = "", **columns: object) -> int:
    key = f"v1/{name}/{debug_id}/{name}"
    row = before.get_model("upload", "FileUpload").objects.create(
        key=key, debug_file=name, debug_id=debug_id, code_id=code_id, **columns
    )
    return int(row.pk)


@pytest.mark.parametrize(
    ("name", "debug_id", "code_id", "expected"),
    [
        ("xul.sym", OTHER, "5AB38077A0000000", ("debug", "breakpad", "")),
        ("xul.SYM", OTHER, "", ("debug", "breakpad", "")),
        ("libz.so.1.sym", OF_BUILD_ID, BUILD_ID, ("debug", "breakpad", BUILD_ID.lower())),
        ("libz.so.1.sym", OF_BUILD_ID[:32], BUILD_ID, ("debug", "breakpad", BUILD_ID.lower())),
        ("XUL.sym", f"{OTHER[:32]}0", OTHER[:32], ("debug", "breakpad", "")),
        ("xul.pdb", OTHER, "", ("unknown", "unknown", "")),
    ],
)
def test_migrate_row_of_a_file_gets_kind_format_and_build_id(
    before: Any, name: str, debug_id: str, code_id: str, expected: tuple[str, str, str]
) -> None:
    added = add_file(before, name, debug_id, code_id)
    migrate()
    row = SymbolFile.objects.get(pk=added)
    assert (row.kind, row.format, row.build_id) == expected
    assert (row.arch, row.debug_id, row.code_id) == ("", debug_id, code_id)


def test_migrate_rows_of_several_batches_are_all_filled(before: Any) -> None:
    model = before.get_model("upload", "FileUpload")
    model.objects.bulk_create(model(key=f"v1/a/{n:033X}/a.sym", size=n) for n in range(2500))
    migrate()
    assert SymbolFile.objects.filter(format="breakpad", kind="debug").count() == 2500
    assert sorted(SymbolFile.objects.values_list("size", flat=True)) == list(range(2500))


def test_migrate_uploads_of_files_stay_linked(before: Any) -> None:
    user = User.objects.create(username="builder")
    upload = before.get_model("upload", "Upload").objects.create(user_id=user.pk)
    added = add_file(before, "xul.sym", upload_id=upload.pk, replaced_by_id=upload.pk)
    migrate()
    row = SymbolFile.objects.select_related("upload", "replaced_by").get(pk=added)
    assert row.upload == row.replaced_by
    assert row.upload is not None
    assert [file.pk for file in row.upload.files.all()] == [added]


def test_migrate_granted_permissions_of_files_are_kept(before: Any) -> None:
    user = User.objects.create(username="admin")
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_fileupload", "view_all_uploads", "upload_symbols"])
    )
    migrate()
    granted = User.objects.get(username="admin").get_all_permissions()
    assert granted == {"storage.view_symbolfile", "upload.view_all_uploads", "upload.upload_symbols"}
    assert not Permission.objects.filter(codename__contains="fileupload").exists()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"format": "elf", "debug_id": OF_BUILD_ID, "build_id": BUILD_ID.lower()}, OF_BUILD_ID),
        # A debug file of Debian, which lies below its build id.
        ({"format": "elf", "debug_id": BUILD_ID}, OF_BUILD_ID),
        ({"format": "pdb", "debug_id": OTHER}, OTHER),
        # Below its code id, and its debug id is only in the file.
        ({"format": "pe", "debug_id": "5AB38077A0000000"}, ""),
        ({"format": "macho", "debug_id": "0" * 33}, ""),
        ({"format": "breakpad", "debug_id": OTHER}, ""),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_migrate_row_of_a_native_file_gets_the_debug_id_of_its_module(
    columns: dict[str, str], expected: str
) -> None:
    executor = MigrationExecutor(connection)
    former = [("storage", "0006_native_ids")]
    executor.migrate(former)
    model = executor.loader.project_state(former).apps.get_model("storage", "SymbolFile")
    added = model.objects.create(key="v1/a/b/c", kind="executable", **columns).pk
    migrate()
    row = SymbolFile.objects.get(pk=added)
    assert (row.native_id, row.has_code) == (expected, columns["format"] != "breakpad")
