"""Index for searches by a code id without the name of its file."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0009_source_files"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="symbolfile",
            index=models.Index(fields=["code_id"], name="file_by_code_id_alone"),
        ),
    ]
