from __future__ import annotations

import re
import uuid
from typing import Any

from django.db import migrations

BATCH = 1000
BUILD_ID = re.compile(r"([0-9a-f]{2}){8,64}")
DEBUG_ID = re.compile(r"[0-9A-F]{33,40}")
GUID_DIGITS = 32
FORMATS = ("elf", "macho", "pdb", "pe", "wasm")


def fill(apps: Any, schema_editor: Any) -> None:
    """Fill the debug id of native files by which conversion finds them, as far as their rows show it.

    Each batch is a transaction of its own, so that no row is locked for long. A migration that was stopped
    continues when it is started again.
    """
    rows = apps.get_model("storage", "SymbolFile").objects.using(schema_editor.connection.alias)
    native = rows.filter(format__in=FORMATS, native_id="").order_by("pk")
    last = 0
    while batch := list(native.filter(pk__gt=last)[:BATCH]):
        for row in batch:
            row.native_id = _native_id(row)
            row.has_code = row.kind == "executable"
        rows.bulk_update(batch, ["native_id", "has_code"])
        last = batch[-1].pk


def _native_id(row: Any) -> str:
    """Return the debug id that derives from the build id, else that of the path; "" without either."""
    build_id: str = row.build_id or (row.debug_id.lower() if row.format == "elf" else "")
    debug_id: str = row.debug_id
    if BUILD_ID.fullmatch(build_id):
        start = bytes.fromhex(build_id[:GUID_DIGITS].ljust(GUID_DIGITS, "0"))
        debug_id = uuid.UUID(bytes_le=start).hex.upper() + "0"
    is_usable = DEBUG_ID.fullmatch(debug_id) and debug_id[:GUID_DIGITS].strip("0")
    return debug_id if is_usable else ""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("storage", "0006_native_ids")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
