"""Where a source file can be read: builds under version control say it in FILE records, and so does Rust.

`hg:hg.mozilla.org/mozilla-central:dom/File.cpp:0123abc`, `git:github.com/rust-lang/rust:lib.rs:0123abc`.
Source: Mozilla, toolkit/crashreporter/tools/symbolstore.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import Job
from tecken.symbolication.crash_reports.parsed_report import Frame, Module, Paste, Thread
from tecken.symbolication.service import Parts, symbolicate

RUST = re.compile(r"/rustc/([0-9a-f]{40})/(.+)")
SPELLING = re.compile(r"(hg|git):([\w.-]+(?::\d+)?)/([^:\s]+):([^:]+):([0-9A-Za-z._-]+)")
FORMS = {
    "hg": "https://{host}/{repository}/file/{revision}/{path}#l{line}",
    "github.com": "https://{host}/{repository}/blob/{revision}/{path}#L{line}",
    "gitlab.com": "https://{host}/{repository}/-/blob/{revision}/{path}#L{line}",
}


class Place(NamedTuple):
    """`file` is the part that people read; `url` is empty where none is known."""

    file: str
    line: int | None
    url: str = ""


def place(file: str, line: int | None) -> Place:
    if rust := RUST.fullmatch(file):
        file = f"git:github.com/rust-lang/rust:{rust[2]}:{rust[1]}"
    found = SPELLING.fullmatch(file)
    if found is None:
        return Place(file, line)
    kind, host, repository, path, revision = found.groups()
    form = FORMS.get("hg" if kind == "hg" else host)
    if form is None:
        return Place(path, line)
    parts = {"host": host, "repository": quote(repository), "revision": quote(revision), "path": quote(path)}
    return Place(path, line, form.format(line=line or 1, **parts))


ABSENT = "Nobody has its symbols."
NO_ID = "The text does not say its debug id."
NOT_SO = "No symbol covers this offset."


class Call(NamedTuple):
    """One function: a frame's own, or one that was inlined into it."""

    function: str
    at: Place | None


class Row(NamedTuple):
    """A frame. `inlines` are the calls inlined into `call`, the deepest first; without a function `given` is
    what the text said, or an address."""

    number: int
    module: str
    offset: str
    call: Call | None
    inlines: tuple[Call, ...]
    given: str


class Shown(NamedTuple):
    """A thread."""

    name: str
    crashed: bool
    rows: tuple[Row, ...]


class Told(NamedTuple):
    """A module: `why` it has no functions, "" when it has. Seconds and bytes of this request."""

    module: Module
    frames: int
    why: str
    fetched: float
    bytes: int
    parsed: float
    explain: str


class Answer(NamedTuple):
    threads: tuple[Shown, ...]
    modules: tuple[Told, ...]
    seconds: float


def job_of(paste: Paste) -> Job:
    """A stack for each thread, of the frames that can be looked up."""
    return Job(
        [(module.debug_file, module.debug_id) for module in paste.modules],
        [list(map(list, _known(thread))) for thread in paste.threads],
    )


def _known(thread: Thread) -> Iterator[tuple[int, int]]:
    return ((frame.module, frame.offset) for frame in thread.frames if frame.module is not None)


def symbolicated(parts: Parts, paste: Paste) -> Answer:
    """Raises CouldNotAsk when no module could be asked for."""
    if not paste.modules:
        return Answer(tuple(_thread(paste, thread, iter(())) for thread in paste.threads), (), 0.0)
    told = orjson.loads(symbolicate(parts, V5(), [job_of(paste)], debug=True))
    result, spent = told["results"][0], told["debug"]
    threads = zip(paste.threads, result["stacks"], strict=True)
    return Answer(
        tuple(_thread(paste, thread, iter(frames)) for thread, frames in threads),
        tuple(_modules(paste, result, spent)),
        spent["time"],
    )


def _thread(paste: Paste, thread: Thread, answers: Iterator[dict[str, Any]]) -> Shown:
    rows = (
        _row(paste, number, frame, next(answers) if frame.module is not None else {})
        for number, frame in enumerate(thread.frames)
    )
    return Shown(thread.name, thread.crashed, tuple(rows))


def _row(paste: Paste, number: int, frame: Frame, answer: dict[str, Any]) -> Row:
    module = paste.modules[frame.module].debug_file if frame.module is not None else ""
    call = _call(answer) if "function" in answer else None
    inlines = tuple(map(_call, answer.get("inlines", ())))
    return Row(
        number,
        module,
        hex(frame.offset),
        call,
        inlines,
        frame.given or (hex(frame.offset) if not module else ""),
    )


def _call(answer: dict[str, Any]) -> Call:
    file = answer.get("file")
    return Call(answer.get("function") or "?", place(file, answer.get("line")) if file else None)


def _modules(paste: Paste, result: dict[str, Any], spent: dict[str, Any]) -> Iterator[Told]:
    frames = Counter(frame.module for thread in paste.threads for frame in thread.frames)
    downloads, parse = spent["downloads"], spent["parse_sym"]["time_per_module"]
    for number, module in enumerate(paste.modules):
        key = "/".join(module)
        settled = f"{module.debug_file}/{module.debug_id.upper()}"
        yield Told(
            module,
            frames[number],
            _why(module, result["found_modules"].get(key), result["module_errors"].get(key, ())),
            downloads["time_per_module"].get(settled, 0.0),
            downloads["size_per_module"].get(settled, 0),
            parse.get(settled, 0.0),
            f"/explain/{quote(module.debug_file, safe='')}/{quote(module.debug_id, safe='')}/"
            if all(module)
            else "",
        )


def _why(module: Module, found: bool | None, errors: Sequence[dict[str, str]]) -> str:
    if errors:
        return f"{errors[0]['name']}: {errors[0]['message']}"
    if not module.debug_id or not module.debug_file:
        return NO_ID
    return "" if found else ABSENT


def as_text(threads: Iterable[Shown]) -> str:
    """As one mails it: a line for each call, inlined ones marked."""
    return "\n".join(line for thread in threads for line in (*_lines(thread), ""))


def _lines(thread: Shown) -> Iterator[str]:
    yield f"{thread.name}{' (crashed)' if thread.crashed else ''}"
    for row in thread.rows:
        for call in row.inlines:
            yield f"{row.number:>3}  {row.module}!{_spelt(call)} (inlined)"
        yield f"{row.number:>3}  {_frame(row)}"


def _frame(row: Row) -> str:
    if row.call:
        return f"{row.module}!{_spelt(row.call)}"
    place = f"{row.module}+{row.offset}" if row.module else ""
    return "  ".join(filter(None, (place, row.given)))


def _spelt(call: Call) -> str:
    return f"{call.function} [{call.at.file}:{call.at.line or 0}]" if call.at else call.function
