"""Keys of lookup results on redis-cache. All expire: losing one costs a lookup, never a wrong result."""

from __future__ import annotations

from typing import Final

from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey

CASE: Final = "case:"
OF_TRY: Final = "known:try:"


def lookup(module: ObjectId) -> str:
    """Return the key of the results of the last search for a module; see `lookup_log`."""
    return f"cold:looked:{module.key}"


def regular_file(key: FileKey) -> str:
    """Return the key for whether a file is among the regular ones; see `presence_cache`."""
    return f"known:regular:{key}"


def try_file(key: FileKey) -> str:
    """Return the key for whether a file is among those of try builds."""
    return f"{OF_TRY}{key}"


def upstream_file(key: FileKey) -> str:
    """Return the key for which upstream has a file, if any."""
    return f"known:upstream:{key}"


def code_file(name: str, code_id: str, *, with_try: bool) -> str:
    """Return the key for the module of a binary: its id in upper case, Windows names in lower case."""
    spelling = name.lower() if is_windows_name(name) else name
    return f"known:code:{'try' if with_try else 'regular'}:{spelling}/{code_id.upper()}"


def other_case(name: str) -> str:
    """Return the key for the stored file that differs in case only from the one with the key `name`."""
    return f"{CASE}{name.lower()}"
