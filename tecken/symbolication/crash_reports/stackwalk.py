"""Breakpad's `minidump_stackwalk`, for machines (`-m`) and for people.

Source: Breakpad, src/processor/stackwalk_common.cc. Only frames without symbols come with a module offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.parsed_report import (
    Frame,
    Module,
    Modules,
    Paste,
    Thread,
    Threads,
    before,
    whole,
)

MODULE_LINE = re.compile(r"^Module\|", re.MULTILINE)
FRAME_LINE = re.compile(
    r"^(\d{1,9})\|(\d{1,9})\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|(\d*)\|(0x[0-9a-fA-F]{1,16})[ \t\r]*$",
    re.MULTILINE,
)
CRASH_LINE = re.compile(r"^Crash\|([^|\n]*)\|([^|\n]*)\|(\d*)", re.MULTILINE)

# Each is matched against a line without the spaces at its end.
THREAD_TITLE = re.compile(r"Thread (\d+)(?: \((.*)\))?")
FRAME_TITLE = re.compile(r" ?(\d{1,9})  (\S.*)")
PLAIN = re.compile(r"(.*) \+ (0x[0-9a-f]{1,16})")
MODULE_SPAN = re.compile(r"0x[0-9a-f]+ - 0x[0-9a-f]+  ")
NO_SYMBOLS = "(WARNING: No symbols, "
ITS_ID = re.compile(r"(.+), ([0-9A-Fa-f]+)\)")
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
    if "Loaded modules:" not in text or not re.search(r"^Thread \d", text, re.MULTILINE):
        return None
    known = dict(_without_symbols(text))
    modules, threads = Modules(), Threads()
    for line in map(str.rstrip, text.partition("Loaded modules:")[0].splitlines()):
        if title := THREAD_TITLE.fullmatch(line):
            threads.start(f"Thread {title[1]}", "crashed" in (title[2] or ""))
        elif threads and (found := FRAME_TITLE.fullmatch(line)):
            threads.add(_frame(known, modules, int(found[1]), found[2]))
    reason = REASON.search(text)
    remarks = () if known else (HAVE_NO_ID,)
    named = threads.with_frames()
    return Paste("minidump_stackwalk", modules(), named, reason[1] if reason else "", remarks)


def _without_symbols(text: str) -> Iterator[tuple[str, Module]]:
    """Yield the modules that the text gives an id for, each under the name that frames use.

    `0x1000 - 0x1fff  libc.so.6  ???  (WARNING: No symbols, libc.so.6, EC61AC938E5A39B16F9FBD350E3169A50)`
    """
    for line in text.splitlines():
        start, warning, rest = line.rpartition(NO_SYMBOLS)
        span, identity = MODULE_SPAN.match(start), ITS_ID.match(rest)
        if warning and span and identity:
            name = start[span.end() :].partition("  ")[0]
            yield name, Module(identity[1], identity[2])


def _frame(known: dict[str, Module], modules: Modules, number: int, told: str) -> Frame:
    plain = PLAIN.fullmatch(told)
    if plain and plain[1] in known:
        return Frame(modules.number(known[plain[1]]), max(0, whole(plain[2]) - before(number)))
    return Frame(None, 0, told)
