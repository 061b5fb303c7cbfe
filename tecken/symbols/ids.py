"""Names of modules: debug file, debug id, code file, code id.

A debug id is what Breakpad writes in a MODULE record: a GUID or build-id prefix as 32 hex digits followed by
an age of 1 to 8 hex digits, upper-cased (PDB 2.0 files have 8 + age digits). Source: Breakpad,
docs/symbol_files.md, and docs/processor_design.md.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tecken.errors import BadModule

MAX_NAME = 1024
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]+")
_DEBUG_ID = re.compile(r"[0-9A-F]{9,40}")


class ModuleKey(NamedTuple):
    """A module as the whole server knows it; made only by `module_key`."""

    debug_file: str
    debug_id: str

    def __str__(self) -> str:
        return f"{self.debug_file}/{self.debug_id}"


def module_key(debug_file: str, debug_id: str) -> ModuleKey:
    """Settle a client's spelling: the debug id is upper-cased here and nowhere else.

    Raises BadModule for an empty, overlong or unprintable name, a path, or an id that is not hex.
    """
    if not debug_file or len(debug_file) > MAX_NAME:
        raise BadModule(f"debug file name must have 1 to {MAX_NAME} characters")
    if not _NAME.fullmatch(debug_file) or debug_file in (".", ".."):
        raise BadModule("debug file name has a control character or a path separator")
    settled = debug_id.upper()
    if not _DEBUG_ID.fullmatch(settled):
        raise BadModule("debug id must be 9 to 40 hex digits")
    return ModuleKey(debug_file, settled)


def symbol_file_name(debug_file: str) -> str:
    """`xul.pdb` -> `xul.sym`, `libxul.so` -> `libxul.so.sym`, as Breakpad's symbol supplier asks for them."""
    stem = debug_file[:-4] if debug_file.lower().endswith(".pdb") else debug_file
    return f"{stem}.sym"
