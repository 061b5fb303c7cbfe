"""The table of tokens."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import models
from django.utils import timezone


class Token(models.Model):
    """Token of a program, which acts for its owner.

    The bearer of a key has the permissions, so the table has a digest and not the key.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8, help_text="the key's first characters, to tell tokens apart")
    permissions = models.ManyToManyField(Permission, blank=True)
    expires_at = models.DateTimeField()
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    rotated_to = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="rotated_from",
        help_text="the token that takes its place",
    )

    class Meta:
        """Permission to manage one's own tokens."""

        permissions = (("manage_tokens", "Manage Your API Tokens"),)

    def __str__(self) -> str:
        return f"{self.hint}..."

    @property
    def is_expired(self) -> bool:
        """Return whether the token has ended."""
        return self.expires_at < timezone.now()
