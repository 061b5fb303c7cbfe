"""Breakpad's `minidump_stackwalk`, for machines (`-m`) and for people.

Source: Breakpad, src/processor/stackwalk_common.cc. Only frames without symbols come with a module offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.stacks.paste import Frame, Module, Modules, Paste, Thread, before, whole

MODULE_LINE = re.compile(r"^Module\|", re.MULTILINE)
FRAME_LINE = re.compile(r"^(\d+)\|(\d+)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|(\d*)\|(0x[0-9a-fA-F]+)\s*$", re.M)
CRASH_LINE = re.compile(r"^Crash\|([^|\n]*)\|([^|\n]*)\|(\d*)", re.MULTILINE)

THREAD_TITLE = re.compile(r"^Thread (\d+)(?: \((.*)\))?\s*$")
FRAME_TITLE = re.compile(r"^ ?(\d+)  (\S.*?)\s*$")
PLAIN = re.compile(r"^(.*) \+ (0x[0-9a-f]+)$")
WITHOUT_SYMBOLS = re.compile(
    r"^0x[0-9a-f]+ - 0x[0-9a-f]+  (.+?)  .*\(WARNING: No symbols, (.+), ([0-9A-Fa-f]+)\)"
)
REASON = re.compile(r"^Crash reason:  (.*)$", re.MULTILINE)
HAVE_NO_ID = (
    "Only modules of which the text says `WARNING: No symbols` can be looked up; `-m` names them all."
)


def machine(text: str) -> Paste | None:
    if not MODULE_LINE.search(text) or not FRAME_LINE.search(text):
        return None
    known = dict(_modules(text))
    modules = Modules()
    threads: dict[str, list[Frame]] = {}
    for thread, number, name, function, file, line, offset in FRAME_LINE.findall(text):
        given = _given(function, file, line)
        if name in known and not function:
            at = max(0, whole(offset) - before(int(number)))
            frame = Frame(modules.number(known[name]), at)
        else:
            frame = Frame(None, whole(offset), f"{name}!{given}" if given else name)
        threads.setdefault(thread, []).append(frame)
    crash = CRASH_LINE.search(text)
    crashed = crash[3] if crash else ""
    named = tuple(Thread(f"Thread {n}", tuple(frames), n == crashed) for n, frames in threads.items())
    reason = f"{crash[1]} at {crash[2]}" if crash and crash[2] else ""
    return Paste("minidump_stackwalk -m", modules(), named, reason)


def _modules(text: str) -> Iterator[tuple[str, Module]]:
    for line in text.splitlines():
        fields = line.split("|")
        if fields[0] == "Module" and len(fields) >= 5:
            yield fields[1], Module(fields[3], fields[4])


def _given(function: str, file: str, line: str) -> str:
    return f"{function} [{file}:{line}]" if file else function


def human(text: str) -> Paste | None:
    if "Loaded modules:" not in text or not re.search(r"^Thread \d+", text, re.MULTILINE):
        return None
    known = {
        found[1]: Module(found[2], found[3])
        for found in map(WITHOUT_SYMBOLS.match, text.splitlines())
        if found
    }
    modules = Modules()
    threads: list[Thread] = []
    for line in text.partition("Loaded modules:")[0].splitlines():
        if title := THREAD_TITLE.match(line):
            threads.append(Thread(f"Thread {title[1]}", (), "crashed" in (title[2] or "")))
        elif threads and (found := FRAME_TITLE.match(line)):
            frame = _frame(known, modules, int(found[1]), found[2])
            threads[-1] = threads[-1]._replace(frames=(*threads[-1].frames, frame))
    reason = REASON.search(text)
    remarks = () if known else (HAVE_NO_ID,)
    return Paste("minidump_stackwalk", modules(), tuple(threads), reason[1] if reason else "", remarks)


def _frame(known: dict[str, Module], modules: Modules, number: int, told: str) -> Frame:
    plain = PLAIN.match(told)
    if plain and plain[1] in known:
        return Frame(modules.number(known[plain[1]]), max(0, whole(plain[2]) - before(number)))
    return Frame(None, 0, told)
