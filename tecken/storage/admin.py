"""Admin page of stored files."""

from __future__ import annotations

from django.contrib import admin

from tecken.storage.models import SymbolFile


@admin.register(SymbolFile)
class SymbolFileAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of stored files."""

    list_display = ("key", "kind", "format", "size", "try_symbols", "created_at", "completed_at")
    search_fields = ("key__startswith",)
    raw_id_fields = ("upload", "replaced_by")
    # Counting all rows takes seconds on a large table.
    show_full_result_count = False
