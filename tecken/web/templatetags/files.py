"""Where a file of an upload is to be had, and where its module is explained."""

from __future__ import annotations

from urllib.parse import quote

from django import template

from tecken.symbols.layouts import below_root
from tecken.upload.models import FileUpload
from tecken.web.api.files import address_of

register = template.Library()
register.filter("address", address_of)


@register.filter
def explained(file: FileUpload) -> str:
    """'' for a file whose module nobody knows."""
    if not file.debug_file or not file.debug_id:
        return ""
    return f"/explain/{quote(file.debug_file, safe='')}/{quote(file.debug_id, safe='')}/"


@register.filter
def short(key: str) -> str:
    """Return a file's name below the storage's roots."""
    return below_root(key)


@register.filter
def file_name(key: str) -> str:
    return key.rpartition("/")[2]


@register.filter
def above(key: str) -> str:
    """xul.pdb/44E4...: what the file's name does not tell."""
    return short(key).rpartition("/")[0]
