"""Records of the modules whose symbols came from upstreams."""

from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0010_code_id_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="FetchedModule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("debug_file", models.CharField(max_length=1024)),
                ("debug_id", models.CharField(max_length=128)),
                ("code_file", models.CharField(blank=True, max_length=255)),
                (
                    "code_id",
                    models.CharField(blank=True, help_text="of an ELF file its build id", max_length=128),
                ),
                ("upstream", models.CharField(help_text="its name, without an account", max_length=1024)),
                ("format", models.CharField(help_text="a format of tecken.symbols.formats", max_length=32)),
                (
                    "received_size",
                    models.BigIntegerField(
                        help_text="bytes of the symbol file, as received; of native files, unpacked"
                    ),
                ),
                ("stored_size", models.BigIntegerField(help_text="bytes of the page file")),
                ("fetched_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["debug_file"], name="fetched_by_debug_file"),
                    models.Index(fields=["code_id"], name="fetched_by_code_id"),
                    models.Index(fields=["fetched_at"], name="fetched_by_age"),
                    models.Index(fields=["stored_size"], name="fetched_by_size"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("debug_id", "debug_file"), name="fetched_module_once")
                ],
            },
        ),
    ]
