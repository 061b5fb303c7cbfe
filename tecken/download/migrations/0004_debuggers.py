from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("download", "0003_symbolications"),
    ]

    operations = [
        migrations.AddField(
            model_name="missingsymbol",
            name="debuginfod",
            field=models.BigIntegerField(db_default=0, default=0, help_text="how many of `count`"),
        ),
        migrations.AddField(
            model_name="missingsymbol",
            name="symsrv",
            field=models.BigIntegerField(db_default=0, default=0, help_text="how many of `count`"),
        ),
    ]
