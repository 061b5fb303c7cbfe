"""A symbol file that nobody had: what it is called, and where it is explained."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django import template

from tecken.download.models import MissingSymbol

register = template.Library()


@register.filter
def called(row: MissingSymbol) -> str:
    return row.debug_file or row.code_file


@register.filter
def explanation(row: MissingSymbol) -> str:
    """By its debug id, else by its code id; '' for one without either."""
    if row.debug_file and row.debug_id:
        return f"/explain/{quote(row.debug_file, safe='')}/{quote(row.debug_id, safe='')}/"
    if row.code_file and row.code_id:
        return f"/explain/?{urlencode({'code_file': row.code_file, 'code_id': row.code_id})}"
    return ""
