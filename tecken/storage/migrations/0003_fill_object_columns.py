from __future__ import annotations

import re
import uuid
from typing import Any

from django.db import migrations
from django.db.models.functions import Lower

BATCH = 1000
BUILD_ID = re.compile(r"([0-9A-F]{2}){8,64}")
GUID_DIGITS = 32


def fill(apps: Any, schema_editor: Any) -> None:
    """Fill kind, format and build id of symbol files, as far as their rows show them.

    Each batch is a transaction of its own, so that no row is locked for long. A migration that was stopped
    continues when it is started again. `arch` stays empty: only the file has it.
    """
    rows = apps.get_model("storage", "SymbolFile").objects.using(schema_editor.connection.alias)
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk").only("debug_id", "code_id")[:BATCH]):
        symbols = rows.filter(pk__gt=last, pk__lte=batch[-1].pk, key__iendswith=".sym")
        symbols.filter(format="unknown").update(kind="debug", format="breakpad")
        rows.filter(pk__in=[row.pk for row in batch if _has_build_id(row)]).update(build_id=Lower("code_id"))
        last = batch[-1].pk


def _has_build_id(row: Any) -> bool:
    """Return whether the debug id derives from the code id, as it does in ELF files."""
    code_id: str = row.code_id
    if not BUILD_ID.fullmatch(code_id):
        return False
    start = bytes.fromhex(code_id[:GUID_DIGITS].ljust(GUID_DIGITS, "0"))
    debug_id = uuid.UUID(bytes_le=start).hex.upper()
    return row.debug_id in (debug_id, f"{debug_id}0")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("storage", "0002_object_columns")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
