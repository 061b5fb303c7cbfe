"""Source files of source bundles, and the permission to read them."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0008_native_names_of_try"),
    ]

    operations = [
        migrations.AlterField(
            model_name="symbolfile",
            name="kind",
            field=models.CharField(
                choices=[
                    ("debug", "Debug"),
                    ("executable", "Executable"),
                    ("symbol table", "Symbol Table"),
                    ("common", "Common"),
                    ("sources", "Sources"),
                    ("unknown", "Unknown"),
                ],
                db_default="unknown",
                default="unknown",
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="SourceFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "path",
                    models.CharField(
                        help_text="as tecken.symbols.source_paths.lookup_form has it", max_length=1024
                    ),
                ),
                ("start", models.BigIntegerField(help_text="offset of the member's own header, in bytes")),
                ("end", models.BigIntegerField(help_text="offset after the member, in bytes")),
                ("size", models.BigIntegerField(help_text="bytes, unpacked")),
                (
                    "blob",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="sources", to="storage.blob"
                    ),
                ),
            ],
            options={
                "permissions": (("view_sources", "View Source Code"),),
                "constraints": [
                    models.UniqueConstraint(fields=("blob", "path"), name="source_once_per_blob")
                ],
            },
        ),
    ]
