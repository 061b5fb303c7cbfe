"""Lines of `module id offset`, in any of the ways in which people write them.

`xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2+0x1f4a`, the same with spaces, commas or bars, or `xul.pdb+0x1f4a`
when another line has its id: `xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.stacks.paste import Frame, Module, Modules, Paste, Thread

NAME, BETWEEN = r"([^\s|/,+]+)", r"[\s|/,]+"
ID = r"\{?([0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?-?[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{9,40})"
OFFSET = r"(0[xX][0-9A-Fa-f]{1,16})"
NUMBER = r"\s*(?:#?\d{1,9}[:.)]?\s+)?"
WHOLE = re.compile(rf"{NUMBER}{NAME}{BETWEEN}{ID}[\s|,+:]+{OFFSET}\s*")
NAMED = re.compile(rf"{NUMBER}{NAME}\s*\+\s*{OFFSET}\s*")
DECLARED = re.compile(rf"\s*{NAME}{BETWEEN}{ID}\s*")


def listed(text: str) -> Paste | None:
    lines = [line for line in text.splitlines() if line.strip()]
    ids = {found[1]: _id(found[2]) for found in map(DECLARED.fullmatch, lines) if found}
    modules = Modules()
    frames = tuple(_frames(lines, ids, modules))
    if not modules():
        return None
    missing = sorted({module.debug_file for module in modules() if not module.debug_id})
    remarks = (
        (f"No debug id for {', '.join(missing)}: write it once, as `{missing[0]} ID`.",) if missing else ()
    )
    return Paste("list of modules and offsets", modules(), (Thread("Frames", frames),), "", remarks)


def _frames(lines: list[str], ids: dict[str, str], modules: Modules) -> Iterator[Frame]:
    for line in lines:
        if found := WHOLE.fullmatch(line):
            yield Frame(modules.number(Module(found[1], _id(found[2]))), int(found[3], 16))
        elif found := NAMED.fullmatch(line):
            yield Frame(modules.number(Module(found[1], ids.get(found[1], ""))), int(found[2], 16))
        elif not DECLARED.fullmatch(line):
            yield Frame(None, 0, line.strip())


def _id(text: str) -> str:
    """A bare GUID has no age, which is 0 nearly always."""
    digits = re.sub(r"[^0-9A-Fa-f]", "", text).upper()
    return f"{digits}0" if len(digits) == 32 else digits
