"""Tables of the history."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import models
from django.utils import timezone

from tecken.runtimeconfig.snapshot import Snapshot


class TextChange(NamedTuple):
    """Text of an entry before and after a change. None: it is not set."""

    old: str | None
    new: str | None


# By entry.
Difference = dict[str, TextChange]


class Version(models.Model):
    """Values after one change. The unique `number` orders versions and lets one of two writers succeed."""

    number = models.PositiveBigIntegerField(unique=True)
    stamp = models.CharField(max_length=64, help_text="tells two changes of the same number apart")
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=255)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    why = models.TextField(blank=True)
    source = models.CharField(max_length=16, help_text="cli, api, page, redis, file, rollback or import")
    values = models.JSONField(default=dict, blank=True, help_text="entry -> text, of all that were set")

    class Meta:
        default_permissions = ()
        permissions = (
            ("view_option", "View Runtime Configuration"),
            ("change_option", "Change Runtime Configuration"),
        )
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"version {self.number}"

    @property
    def author(self) -> str:
        """Return who made the version, and where."""
        return f"{self.by} ({self.source})"

    @property
    def snapshot(self) -> Snapshot:
        """Return the values of this version."""
        return Snapshot(self.number, self.stamp, self.values)

    @property
    def changed(self) -> Difference:
        """Return what this version changed."""
        changes = self.changes.all() if self.pk else ()
        return {change.entry: TextChange(change.old, change.new) for change in changes}


class Change(models.Model):
    """Entry that a version changed."""

    version = models.ForeignKey(Version, models.CASCADE, related_name="changes")
    entry = models.TextField(help_text="an option, or option@start/end")
    # NULL means that the entry is not set. An empty text is a value.
    old = models.TextField(null=True, blank=True)
    new = models.TextField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        ordering = ("-version__number", "entry")

    def __str__(self) -> str:
        return f"{self.entry}: {self.old!r} -> {self.new!r}"
