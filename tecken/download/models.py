from __future__ import annotations

from django.db import models


class MissingSymbol(models.Model):
    """A symbol file that was asked for and nobody had; '' where the client did not tell."""

    digest = models.CharField(max_length=32, help_text="of the four names, too long for an index")
    debug_file = models.CharField(max_length=1024)
    debug_id = models.CharField(max_length=40)
    code_file = models.CharField(max_length=1024)
    code_id = models.CharField(max_length=128)
    count = models.BigIntegerField()
    last_seen = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("digest",), name="missing_once"),)
        indexes = (models.Index(fields=("-last_seen", "-id"), name="missing_newest"),)

    def __str__(self) -> str:
        return f"{self.debug_file or self.code_file}/{self.debug_id or self.code_id}"
