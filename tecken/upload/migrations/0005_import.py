from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("upload", "0004_symbol_file_moves_to_storage"),
    ]

    operations = [
        migrations.AlterField(
            model_name="upload",
            name="protocol",
            field=models.CharField(
                choices=[
                    ("v1", "V1"),
                    ("v2", "V2"),
                    ("sym_upload", "Sym Upload"),
                    ("import", "Import"),
                ],
                default="v1",
                max_length=16,
            ),
        ),
    ]
