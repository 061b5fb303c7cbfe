"""An index for rankings, and the totals of the days that are stored already."""

from django.db import migrations, models

TOTALS = """
INSERT INTO limits_usage (day, what, unit, token, amount)
SELECT day, what, unit, -1, SUM(amount) FROM limits_usage GROUP BY day, what, unit
"""


class Migration(migrations.Migration):
    dependencies = [("limits", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="usage",
            name="token",
            field=models.BigIntegerField(
                help_text="number of the token; 0: requests without one; -1: the sum of all"
            ),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(fields=["unit", "day", "token", "what", "amount"], name="usage_by_unit"),
        ),
        migrations.RunSQL(TOTALS, "DELETE FROM limits_usage WHERE token = -1"),
    ]
