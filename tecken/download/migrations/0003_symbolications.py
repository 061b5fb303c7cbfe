from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("download", "0002_api_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="missingsymbol",
            name="symbolications",
            field=models.BigIntegerField(db_default=0, default=0, help_text="how many of `count`"),
        ),
    ]
