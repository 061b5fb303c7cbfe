"""Pages of Django's admin: tokens, stored files and uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from tecken.accounts.models import Token
from tecken.storage.models import Blob, SymbolFile
from tecken.upload.models import Upload

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


@admin.register(SymbolFile)
class SymbolFileAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of stored files."""

    list_display = ("key", "kind", "format", "size", "try_symbols", "created_at", "completed_at")
    search_fields = ("key__startswith",)
    raw_id_fields = ("upload", "replaced_by", "blob")
    # Counting all rows takes seconds on a large table.
    show_full_result_count = False


@admin.register(Blob)
class BlobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of content that files share; only uploads and the cleanup change it."""

    list_display = ("sha256", "bucket_name", "size", "stored_size", "created_at")
    search_fields = ("sha256__startswith",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: a row without its object has no content."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - as above
        """Return False, for the same reason."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - as above
        """Return False: the object would stay."""
        return False


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of uploads."""

    list_display = ("id", "filename", "user", "size", "try_symbols", "created_at", "completed_at")
    list_filter = ("try_symbols", "protocol")
    search_fields = ("filename__startswith",)
    raw_id_fields = ("user", "token")
    # Counting all rows takes seconds on a large table.
    show_full_result_count = False
