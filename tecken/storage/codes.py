"""Search of the database for the module of a binary, by its code file and code id."""

from __future__ import annotations

from django.db import DatabaseError

from tecken.errors import BadModule, NotFound, Unavailable
from tecken.storage.models import SymbolFile, match_name
from tecken.symbols.ids import ObjectId


def module_of(code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
    """Return the newest module of a binary, a regular one before one of a try build.

    The id is in upper case. Raises NotFound, or Unavailable when the database does not respond.
    """
    rows = SymbolFile.objects.identifying().filter(match_name("code_file", code_file), code_id=code_id)
    if not with_try:
        rows = rows.filter(try_symbols=False)
    try:
        found = rows.order_by("try_symbols", "-id").values_list("debug_file", "debug_id").first()
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if found is None:
        raise NotFound(f"no upload has code file {code_file} with code id {code_id}")
    try:
        return ObjectId.parse(*found)
    except BadModule as error:
        raise NotFound(str(error)) from error
