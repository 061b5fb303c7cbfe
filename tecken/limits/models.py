from __future__ import annotations

from django.db import models

NOBODY = 0


class Usage(models.Model):
    """What was used on one day of UTC. Not a foreign key: what a token used stays when it is deleted."""

    day = models.DateField()
    what = models.CharField(max_length=32)
    unit = models.CharField(max_length=16)
    token = models.BigIntegerField(help_text=f"its number; {NOBODY}: all who showed none")
    amount = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("day", "what", "unit", "token"), name="usage_once"),)
        indexes = (models.Index(fields=("token", "-day"), name="usage_of_token"),)

    def __str__(self) -> str:
        return f"{self.day} {self.what}: {self.amount} {self.unit}"
