from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.db import migrations, models

OLD = "upload", "fileupload", "file upload"
NEW = "storage", "symbolfile", "symbol file"


def move_permissions(apps: Any, schema_editor: Any) -> None:
    """Let the rows of the model's content type and permissions, with their grants, belong to its new name."""
    _rename(apps, schema_editor.connection.alias, OLD, NEW)


def move_permissions_back(apps: Any, schema_editor: Any) -> None:
    _rename(apps, schema_editor.connection.alias, NEW, OLD)


def _rename(apps: Any, alias: str, old: tuple[str, str, str], new: tuple[str, str, str]) -> None:
    types = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    # A new database has neither yet: they are created after the migrations.
    for content_type in types.filter(app_label=old[0], model=old[1]):
        types.filter(pk=content_type.pk).update(app_label=new[0], model=new[1])
        for permission in permissions.filter(content_type=content_type.pk):
            permission.codename = permission.codename.replace(old[1], new[1])
            permission.name = permission.name.replace(old[2], new[2])
            permission.save()


class Migration(migrations.Migration):
    """SymbolFile is what `upload.FileUpload` was: its table, rows and indexes stay as they are."""

    initial = True

    dependencies = [
        ("upload", "0003_replaced_by_and_any_case"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="SymbolFile",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("bucket_name", models.CharField(max_length=255)),
                        (
                            "key",
                            models.CharField(
                                help_text="v1/<debug file>/<DEBUG ID>/<file name>", max_length=1024
                            ),
                        ),
                        ("debug_file", models.CharField(blank=True, max_length=1024)),
                        ("debug_id", models.CharField(blank=True, max_length=128)),
                        ("code_file", models.CharField(blank=True, max_length=255)),
                        ("code_id", models.CharField(blank=True, max_length=128)),
                        ("generator", models.CharField(blank=True, max_length=255)),
                        ("size", models.BigIntegerField(default=0, help_text="bytes, as stored")),
                        (
                            "original_size",
                            models.BigIntegerField(default=0, help_text="bytes, as uploaded and unpacked"),
                        ),
                        (
                            "content_hash",
                            models.CharField(
                                blank=True, help_text="SHA-256 of the unpacked bytes", max_length=64
                            ),
                        ),
                        (
                            "etag",
                            models.CharField(blank=True, help_text="the stored object's", max_length=255),
                        ),
                        ("compressed", models.BooleanField(default=False)),
                        ("update", models.BooleanField(default=False, help_text="it replaced other content")),
                        ("try_symbols", models.BooleanField(default=False)),
                        (
                            "created_at",
                            models.DateTimeField(db_index=True, default=django.utils.timezone.now),
                        ),
                        ("completed_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "replaced_by",
                            models.ForeignKey(
                                blank=True,
                                help_text="with other content",
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="replaced",
                                to="upload.upload",
                            ),
                        ),
                        (
                            "upload",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="files",
                                to="upload.upload",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "upload_fileupload",
                        "indexes": [
                            models.Index(
                                fields=["key"], name="file_by_key", opclasses=["varchar_pattern_ops"]
                            ),
                            models.Index(fields=["debug_file", "debug_id"], name="file_by_debug_id"),
                            models.Index(fields=["code_file", "code_id"], name="file_by_code_id"),
                            models.Index(
                                django.db.models.functions.text.Lower("code_file"),
                                models.F("code_id"),
                                name="file_by_code_id_in_any_case",
                            ),
                            models.Index(fields=["try_symbols", "created_at"], name="file_by_age"),
                            models.Index(fields=["size"], name="file_by_size"),
                            models.Index(
                                condition=models.Q(("completed_at", None)),
                                fields=["created_at"],
                                name="file_unfinished",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("upload", "key"), name="file_once_per_upload")
                        ],
                    },
                ),
            ],
        ),
        migrations.RunPython(move_permissions, move_permissions_back),
    ]
