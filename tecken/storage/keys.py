"""Keys on redis-cache of what is known of files. All expire: losing one costs a lookup, never an answer."""

from __future__ import annotations

from typing import Final

from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey

CASE: Final = "case:"
OF_TRY: Final = "known:try:"


def looked(module: ObjectId) -> str:
    """What each source said when it was last asked; see `journal`."""
    return f"cold:looked:{module.key}"


def regular_file(key: FileKey) -> str:
    """Whether a file is among the regular ones; see `known`."""
    return f"known:regular:{key}"


def try_file(key: FileKey) -> str:
    """Whether a file is among those of try builds."""
    return f"{OF_TRY}{key}"


def is_of_try(name: str) -> bool:
    """Return whether `name` is one of `try_file`, or of another case of one."""
    return name.removeprefix(CASE).startswith(OF_TRY)


def upstream_file(key: FileKey) -> str:
    """Whether an upstream has a file, and which."""
    return f"known:upstream:{key}"


def code_file(name: str, code_id: str, *, with_try: bool) -> str:
    """Which module a code file and a code id belong to: the id in upper, Windows names in lower case."""
    spelling = name.lower() if is_windows_name(name) else name
    return f"known:code:{'try' if with_try else 'regular'}:{spelling}/{code_id.upper()}"


def other_case(name: str) -> str:
    """Which stored file of a Windows module differs in case only; `name` is the key of the file asked for."""
    return f"{CASE}{name.lower()}"
