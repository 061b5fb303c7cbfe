"""Tokens on the pages of Django's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from tecken.accounts.models import Token

# The class is generic for the type checker only.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Token]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(Token)
class TokenAdmin(ModelAdmin):
    """Form to annotate, extend, end or delete a token. Its owner or `createtoken` creates it."""

    list_display = ("hint", "user", "expires_at", "last_used_at", "notes")
    list_filter = ("permissions", "expires_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "notes", "hint")
    date_hierarchy = "created_at"
    fields = ("hint", "user", "permissions", "expires_at", "notes", "created_at", "last_used_at")
    readonly_fields = ("hint", "user", "permissions", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: the key is shown once, which this form cannot do."""
        return False
