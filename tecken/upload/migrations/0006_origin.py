"""Origin of uploads: build, branch, commit, note and token, with the indexes of their filters."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tokens", "0001_initial"),
        ("upload", "0005_import"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="branch",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="upload",
            name="build",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="upload",
            name="commit",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="upload",
            name="note",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="upload",
            name="token",
            field=models.ForeignKey(
                blank=True,
                help_text="that sent it",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="uploads",
                to="tokens.token",
            ),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["build"], name="upload_by_build", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["branch"], name="upload_by_branch", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["commit"], name="upload_by_commit", opclasses=["varchar_pattern_ops"]),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["note"], name="upload_by_note", opclasses=["varchar_pattern_ops"]),
        ),
    ]
