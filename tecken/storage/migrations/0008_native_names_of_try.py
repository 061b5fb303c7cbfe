"""Names of native files, apart for regular and try builds."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("storage", "0007_fill_native_ids")]

    operations = [
        migrations.AddField(
            model_name="nativename",
            name="try_symbols",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddConstraint(
            model_name="nativename",
            constraint=models.UniqueConstraint(
                fields=("native_id", "debug_file", "debug_id", "try_symbols"),
                name="native_name_of_scope",
            ),
        ),
        migrations.RemoveConstraint(model_name="nativename", name="native_name_once"),
    ]
