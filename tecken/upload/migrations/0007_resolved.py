"""Modules of uploads that were missing before."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("upload", "0006_origin"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="resolved",
            field=models.JSONField(
                blank=True,
                db_default=[],
                default=list,
                help_text="modules that were missing before",
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="resolved_modules",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
