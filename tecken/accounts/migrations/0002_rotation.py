"""Successors of tokens that were rotated."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tokens", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="token",
            name="rotated_to",
            field=models.OneToOneField(
                blank=True,
                help_text="the token that takes its place",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="rotated_from",
                to="tokens.token",
            ),
        ),
    ]
