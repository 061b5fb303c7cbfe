"""The table of daily usage."""

from __future__ import annotations

from django.db import models

NO_TOKEN = 0


class Usage(models.Model):
    """Amount that a token used on one day of UTC.

    `token` is no foreign key, so that the usage of a deleted token stays.
    """

    day = models.DateField()
    what = models.CharField(max_length=32)
    unit = models.CharField(max_length=16)
    token = models.BigIntegerField(help_text=f"its number; {NO_TOKEN}: all who showed none")
    amount = models.BigIntegerField()

    class Meta:
        """One row for each day, subject, unit and token."""

        constraints = (models.UniqueConstraint(fields=("day", "what", "unit", "token"), name="usage_once"),)
        indexes = (models.Index(fields=("token", "-day"), name="usage_of_token"),)

    def __str__(self) -> str:
        return f"{self.day} {self.what}: {self.amount} {self.unit}"
