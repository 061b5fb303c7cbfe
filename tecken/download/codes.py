"""Which module a binary belongs to, by its code file and code id, from the files that were uploaded."""

from __future__ import annotations

from django.apps import apps
from django.db import DatabaseError

from tecken.errors import Absent, BadModule, CouldNotAsk
from tecken.symbols.ids import ModuleKey, module_key

UPLOADED = ("upload", "FileUpload")  # by name, since no feature imports another


def module_of(code_file: str, code_id: str, *, with_try: bool) -> ModuleKey:
    """The newest module, a regular one before one of a try build; the id in upper case.

    Raises Absent, or CouldNotAsk when the database does not answer.
    """
    rows = apps.get_model(*UPLOADED)._default_manager.filter(
        code_file=code_file, code_id=code_id, completed_at__isnull=False
    )
    if not with_try:
        rows = rows.filter(try_symbols=False)
    try:
        names = rows.order_by("try_symbols", "-id").values_list("debug_file", "debug_id").first()
    except DatabaseError as error:
        raise CouldNotAsk("the database does not answer") from error
    if names is None:
        raise Absent(f"no upload has code file {code_file} with code id {code_id}")
    try:
        return module_key(*names)
    except BadModule as error:
        raise Absent(str(error)) from error
