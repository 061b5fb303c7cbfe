from django.db import migrations, models


class Migration(migrations.Migration):
    """New columns, with defaults in the database: the previous version still writes rows without them."""

    dependencies = [
        ("storage", "0001_symbol_file"),
        # The model of the same table is gone from the state then.
        ("upload", "0004_symbol_file_moves_to_storage"),
    ]

    operations = [
        migrations.AddField(
            model_name="symbolfile",
            name="kind",
            field=models.CharField(
                choices=[
                    ("debug", "Debug"),
                    ("executable", "Executable"),
                    ("symbol table", "Symbol Table"),
                    ("common", "Common"),
                    ("unknown", "Unknown"),
                ],
                db_default="unknown",
                default="unknown",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="symbolfile",
            name="format",
            field=models.CharField(
                db_default="unknown",
                default="unknown",
                help_text="a format of tecken.symbols.formats",
                max_length=32,
            ),
        ),
        migrations.AddField(
            model_name="symbolfile",
            name="build_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="of an ELF file, in lower case",
                max_length=128,
            ),
        ),
        migrations.AddField(
            model_name="symbolfile",
            name="arch",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="as the file spells it", max_length=255
            ),
        ),
    ]
