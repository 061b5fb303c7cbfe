"""Where a file of an upload is to be had, and where its module is explained."""

from __future__ import annotations

from urllib.parse import quote

from django import template

from tecken.storage.models import SymbolFile
from tecken.web.api.files import address_of

register = template.Library()
register.filter("address", address_of)


@register.filter
def explained(file: SymbolFile) -> str:
    """'' for a file whose module nobody knows."""
    if not file.debug_file or not file.debug_id:
        return ""
    return f"/explain/{quote(file.debug_file, safe='')}/{quote(file.debug_id, safe='')}/"


@register.filter
def short(key: str) -> str:
    """v1/xul.pdb/44E4.../xul.sym: what it is called below the store."""
    return key.removeprefix("try/").removeprefix("v1/")


@register.filter
def file_name(key: str) -> str:
    return key.rpartition("/")[2]


@register.filter
def above(key: str) -> str:
    """xul.pdb/44E4...: what the file's name does not tell."""
    return short(key).rpartition("/")[0]
