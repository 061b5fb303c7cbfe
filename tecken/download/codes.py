"""Which module a binary belongs to, by its code file and code id, from the files that were uploaded."""

from __future__ import annotations

from django.apps import apps
from django.db import DatabaseError
from django.db.models import Q, Value
from django.db.models.functions import Lower

from tecken.errors import Absent, BadModule, CouldNotAsk
from tecken.symbols.ids import GUID_DIGITS, ObjectId, is_windows_name

# The model is found by its name, since no feature imports another.
UPLOADED = ("upload", "FileUpload")
# Ids of zeros name no build, so a row that has one does not identify a binary.
NO_BUILD = "0" * GUID_DIGITS


def module_of(code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
    """Return the newest module of a binary, a regular one before one of a try build.

    The id is in upper case. Raises Absent, or CouldNotAsk when the database does not answer.
    """
    name = Q(code_file=code_file)
    if is_windows_name(code_file):
        name = Q(code_file__lower=Lower(Value(code_file)))
    rows = (
        apps.get_model(*UPLOADED)
        ._default_manager.filter(name, code_id=code_id, completed_at__isnull=False)
        .exclude(debug_id__startswith=NO_BUILD)
    )
    if not with_try:
        rows = rows.filter(try_symbols=False)
    try:
        found = rows.order_by("try_symbols", "-id").values_list("debug_file", "debug_id").first()
    except DatabaseError as error:
        raise CouldNotAsk("the database does not answer") from error
    if found is None:
        raise Absent(f"no upload has code file {code_file} with code id {code_id}")
    try:
        return ObjectId.parse(*found)
    except BadModule as error:
        raise Absent(str(error)) from error
