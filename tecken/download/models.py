"""Table of missing symbols."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Left

# A name may be longer than an index can hold, so only its start is indexed.
INDEXED_CHARACTERS = 64


class MissingSymbol(models.Model):
    """Requested symbol file that no source has. A name that the client did not send is empty."""

    digest = models.CharField(max_length=32, help_text="of the four names, too long for an index")
    debug_file = models.CharField(max_length=1024)
    debug_id = models.CharField(max_length=40)
    code_file = models.CharField(max_length=1024)
    code_id = models.CharField(max_length=128)
    count = models.BigIntegerField()
    symbolications = models.BigIntegerField(default=0, db_default=0, help_text="how many of `count`")
    debuginfod = models.BigIntegerField(default=0, db_default=0, help_text="how many of `count`")
    symsrv = models.BigIntegerField(default=0, db_default=0, help_text="how many of `count`")
    last_seen = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("digest",), name="missing_once"),)
        indexes = (
            models.Index(fields=("-last_seen", "-id"), name="missing_newest"),
            models.Index(fields=("-count", "-id"), name="missing_most_wanted"),
            models.Index(fields=("debug_id",), name="missing_by_debug_id"),
            models.Index(fields=("code_id",), name="missing_by_code_id"),
            models.Index(Left("debug_file", INDEXED_CHARACTERS), name="missing_by_debug_file"),
            models.Index(Left("code_file", INDEXED_CHARACTERS), name="missing_by_code_file"),
        )

    def __str__(self) -> str:
        return f"{self.debug_file or self.code_file}/{self.debug_id or self.code_id}"
