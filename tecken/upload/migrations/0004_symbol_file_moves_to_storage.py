from django.db import migrations


class Migration(migrations.Migration):
    """FileUpload is `storage.SymbolFile` from here on; its table stays as it is."""

    dependencies = [
        ("upload", "0003_replaced_by_and_any_case"),
        ("storage", "0001_symbol_file"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="FileUpload")]),
    ]
