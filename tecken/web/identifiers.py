"""Files by any of their ids: debug id, build id, UUID, or code id, whatever their names."""

from __future__ import annotations

import re
from typing import Final

from django.db.models import Q

from tecken.errors import BadModule, InvalidInput
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import (
    GUID_DIGITS,
    SHORTEST_BUILD_ID,
    ObjectId,
    code_id,
    debug_ids_of_code_id,
    is_zero_debug_id,
    normal_debug_id,
)
from tecken.web.lists import build_identifier

# A build may have several files, and may have been uploaded more than once.
MAX_ROWS: Final = 100
MAX_MODULES: Final = 20
# Shorter ids are a time and a size: guesses would find files whose names are secret.
SHORTEST_PUBLIC_ID: Final = GUID_DIGITS
_DECORATION: Final = re.compile(r"[{}\s/-]")


def normal_id(text: str) -> str:
    """Return an id in upper case, without the braces and dashes of a GUID. Raises InvalidInput."""
    try:
        return code_id(_DECORATION.sub("", text))
    except BadModule as error:
        raise InvalidInput(
            "the id must be a debug id, a code id, a build id or a UUID, in hex digits"
        ) from error


def any_identifier(_field: str, text: str) -> Q:
    """Match files by any of their ids, in any case, or by the beginning of a build id.

    Raises InvalidInput.
    """
    some_id = normal_id(text)
    return (
        match_id(some_id) | Q(code_id__in=(some_id, some_id.lower())) | build_identifier("build_id", some_id)
    )


def match_id(some_id: str) -> Q:
    """Return a condition for files with a debug id or build id."""
    debug_ids = {normal_debug_id(some_id), *debug_ids_of_code_id(some_id)}
    condition = Q(debug_id__in=debug_ids) | Q(native_id__in=debug_ids)
    return condition | Q(build_id=some_id.lower()) if len(some_id) >= SHORTEST_BUILD_ID else condition


def find_modules(some_id: str, *, shows_short_ids: bool) -> list[ObjectId]:
    """Return the regular modules with an id, by their names, the last uploaded first.

    `shows_short_ids` also finds those of code ids of PE files.
    """
    if is_zero_debug_id(some_id) or (len(some_id) < SHORTEST_PUBLIC_ID and not shows_short_ids):
        return []
    condition = match_id(some_id)
    if len(some_id) < SHORTEST_PUBLIC_ID:
        condition |= Q(code_id=some_id)
    return _list_modules(condition)


def find_same_guid(some_id: str) -> list[ObjectId]:
    """Return the regular modules with the GUID of a debug id and another age, by their names."""
    guid = some_id[:GUID_DIGITS]
    if len(guid) < GUID_DIGITS or is_zero_debug_id(guid):
        return []
    # Hexadecimal digits follow the GUID, and all of them sort before "G".
    condition = Q(debug_id__gte=guid, debug_id__lt=f"{guid}G") | Q(
        native_id__gte=guid, native_id__lt=f"{guid}G"
    )
    return [module for module in _list_modules(condition) if module.debug_id != normal_debug_id(some_id)]


def _list_modules(condition: Q) -> list[ObjectId]:
    rows = SymbolFile.objects.filter(condition, completed_at__isnull=False, try_symbols=False)
    names = rows.order_by("-pk").values_list("debug_file", "debug_id", "native_id")[:MAX_ROWS]
    # A native file may be stored below another id, such as its code id.
    modules = (ObjectId(name, native_id or debug_id) for name, debug_id, native_id in names if name)
    return list(dict.fromkeys(modules))[:MAX_MODULES]
