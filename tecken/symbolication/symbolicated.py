"""Symbolicated crash reports: what the page /symbolicate/ and `POST /symbolicate/text` show.

`symbolicate_report` turns the frames of a parsed report into functions, `format_text` and `format_json` are
the forms in which a report is sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import orjson

from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import Job
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, ReportModule, Thread
from tecken.symbolication.service import Parts, symbolicate

NO_SYMBOLS = "No source has its symbols."
NO_DEBUG_ID = "The text does not contain its debug id."

# Builds under version control and Rust write the place of a source file into FILE records:
# `hg:hg.mozilla.org/mozilla-central:dom/File.cpp:0123abc`, `git:github.com/rust-lang/rust:lib.rs:0123abc`.
# Source: Mozilla, toolkit/crashreporter/tools/symbolstore.py.
RUST_PATH = re.compile(r"/rustc/([0-9a-f]{40})/(.+)")
REPOSITORY_PATH = re.compile(r"(hg|git):([\w.-]+(?::\d+)?)/([^:\s]+):([^:]+):([0-9A-Za-z._-]+)")
REPOSITORY_URLS = {
    "hg": "https://{host}/{repository}/file/{revision}/{path}#l{line}",
    "github.com": "https://{host}/{repository}/blob/{revision}/{path}#L{line}",
    "gitlab.com": "https://{host}/{repository}/-/blob/{revision}/{path}#L{line}",
}


class ExcerptLine(NamedTuple):
    """Line of a source file. `is_current` is the one that a frame executes or calls from."""

    number: int
    text: str
    is_current: bool


Excerpt = tuple[ExcerptLine, ...]


class SourceExcerpts(Protocol):
    """Source files of one report."""

    def around(self, module: tuple[str, str], file: str, line: int | None) -> Excerpt:
        """Return the lines around a line of a file of a module, by its debug file and debug id."""
        ...


class SourceLine(NamedTuple):
    """Line of a source file. `file` is the part that users read; `url` is empty if no repository is known."""

    file: str
    line: int | None
    url: str = ""


class Call(NamedTuple):
    """Function of a frame, or one that was inlined into it, with the source around its line."""

    function: str
    at: SourceLine | None
    source: Excerpt = ()


class StackRow(NamedTuple):
    """Frame of a stack.

    `inlines` are the calls inlined into `call`, the deepest first. If no function was found, `given` is the
    text of the frame in the report, or its address.
    """

    number: int
    module: str
    offset: str
    call: Call | None
    inlines: tuple[Call, ...]
    given: str


class SymbolicatedThread(NamedTuple):
    """Thread with its frames."""

    name: str
    crashed: bool
    rows: tuple[StackRow, ...]


class ModuleUse(NamedTuple):
    """Module of the report. `why` it has no functions, or ""; seconds and bytes are those of this request.

    `problem` and `reason` are its entry in `module_errors`, empty if it has none.
    """

    module: ReportModule
    frames: int
    why: str
    fetched: float
    bytes: int
    parsed: float
    explain: str
    problem: str = ""
    reason: str = ""


class SymbolicatedReport(NamedTuple):
    """Threads and modules of a crash report, and the time that symbolication took."""

    threads: tuple[SymbolicatedThread, ...]
    modules: tuple[ModuleUse, ...]
    seconds: float


def find_source(file: str, line: int | None) -> SourceLine:
    """Return a line of a source file, with its address in a public repository if the file name has one."""
    if rust := RUST_PATH.fullmatch(file):
        file = f"git:github.com/rust-lang/rust:{rust[2]}:{rust[1]}"
    match = REPOSITORY_PATH.fullmatch(file)
    if match is None:
        return SourceLine(file, line)
    kind, host, repository, path, revision = match.groups()
    url = REPOSITORY_URLS.get("hg" if kind == "hg" else host)
    if url is None:
        return SourceLine(path, line)
    parts = {"host": host, "repository": quote(repository), "revision": quote(revision), "path": quote(path)}
    return SourceLine(path, line, url.format(line=line or 1, **parts))


def symbolicate_report(
    parts: Parts, paste: ParsedReport, excerpts: SourceExcerpts | None = None
) -> SymbolicatedReport:
    """Return a crash report with the functions of its frames, and with source lines from `excerpts`.

    Raises:
        Unavailable: No module could be looked up.
    """
    if not paste.modules:
        threads = (_symbolicated_thread(paste, thread, iter(())) for thread in paste.threads)
        return SymbolicatedReport(tuple(threads), (), 0.0)
    response = orjson.loads(symbolicate(parts, V5(), [_make_job(paste)], debug=True))
    result, debug = response["results"][0], response["debug"]
    stacks = zip(paste.threads, result["stacks"], strict=True)
    return SymbolicatedReport(
        tuple(_symbolicated_thread(paste, thread, iter(frames), excerpts) for thread, frames in stacks),
        tuple(_module_uses(paste, result, debug)),
        debug["time"],
    )


def _make_job(paste: ParsedReport) -> Job:
    """Return a job that has a stack for each thread, without the frames that have no module."""
    return Job(
        [(module.debug_file, module.debug_id) for module in paste.modules],
        [
            [[frame.module, frame.offset] for frame in thread.frames if frame.module is not None]
            for thread in paste.threads
        ],
    )


def _symbolicated_thread(
    paste: ParsedReport,
    thread: Thread,
    results: Iterator[dict[str, Any]],
    excerpts: SourceExcerpts | None = None,
) -> SymbolicatedThread:
    rows = (
        _stack_row(paste, number, frame, next(results) if frame.module is not None else {}, excerpts)
        for number, frame in enumerate(thread.frames)
    )
    return SymbolicatedThread(thread.name, thread.crashed, tuple(rows))


def _stack_row(
    paste: ParsedReport,
    number: int,
    frame: ReportFrame,
    result: dict[str, Any],
    excerpts: SourceExcerpts | None,
) -> StackRow:
    module = paste.modules[frame.module] if frame.module is not None else ReportModule("", "")
    read = partial(_read_call, module, excerpts)
    call = read(result) if "function" in result else None
    inlines = tuple(map(read, result.get("inlines", ())))
    given = frame.given or (hex(frame.offset) if not module.debug_file else "")
    return StackRow(number, module.debug_file, hex(frame.offset), call, inlines, given)


def _read_call(module: ReportModule, excerpts: SourceExcerpts | None, result: dict[str, Any]) -> Call:
    function, file, line = result.get("function") or "?", result.get("file"), result.get("line")
    if not file:
        return Call(function, None)
    source = excerpts.around((module.debug_file, module.debug_id), file, line) if excerpts else ()
    return Call(function, find_source(file, line), source)


def _module_uses(paste: ParsedReport, result: dict[str, Any], debug: dict[str, Any]) -> Iterator[ModuleUse]:
    frames = Counter(frame.module for thread in paste.threads for frame in thread.frames)
    downloads, parse = debug["downloads"], debug["parse_sym"]["time_per_module"]
    for number, module in enumerate(paste.modules):
        key = "/".join(module)
        # The debug part of a response names modules by their normalised ids.
        debug_key = f"{module.debug_file}/{module.debug_id.upper()}"
        explain = explanation_address(module.debug_file, module.debug_id)
        errors = result["module_errors"].get(key, ())
        yield ModuleUse(
            module,
            frames[number],
            _why_not(module, result["found_modules"].get(key), errors),
            downloads["time_per_module"].get(debug_key, 0.0),
            downloads["size_per_module"].get(debug_key, 0),
            parse.get(debug_key, 0.0),
            explain if all(module) else "",
            errors[0]["name"] if errors else "",
            errors[0]["message"] if errors else "",
        )


def explanation_address(debug_file: str, debug_id: str) -> str:
    """Return the address of the page that explains a module. A name may contain any character."""
    return f"/explain/{quote(debug_file, safe='')}/{quote(debug_id, safe='')}/"


def _why_not(module: ReportModule, found: bool | None, errors: Sequence[dict[str, str]]) -> str:
    if errors:
        return f"{errors[0]['name']}: {errors[0]['message']}"
    if not module.debug_id or not module.debug_file:
        return NO_DEBUG_ID
    return "" if found else NO_SYMBOLS


def format_text(threads: Iterable[SymbolicatedThread]) -> str:
    """Return the stacks as plain text for a mail: a line for each call, inlined ones marked."""
    return "\n".join(line for thread in threads for line in (*_text_lines(thread), ""))


def _text_lines(thread: SymbolicatedThread) -> Iterator[str]:
    yield f"{thread.name}{' (crashed)' if thread.crashed else ''}"
    for row in thread.rows:
        for call in row.inlines:
            yield f"{row.number:>3}  {row.module}!{_format_call(call)} (inlined)"
        yield f"{row.number:>3}  {_format_row(row)}"


def _format_row(row: StackRow) -> str:
    if row.call:
        return f"{row.module}!{_format_call(row.call)}"
    place = f"{row.module}+{row.offset}" if row.module else ""
    return "  ".join(filter(None, (place, row.given)))


def _format_call(call: Call) -> str:
    return f"{call.function} [{call.at.file}:{call.at.line or 0}]" if call.at else call.function


def format_json(paste: ParsedReport, report: SymbolicatedReport) -> bytes:
    """Return the report as JSON."""
    document = {
        "kind": paste.kind,
        "reason": paste.reason,
        "remarks": paste.remarks,
        "threads": [_to_json(thread) for thread in report.threads],
        "modules": [
            {"debug_file": use.module.debug_file, "debug_id": use.module.debug_id, "why_not": use.why}
            for use in report.modules
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _to_json(value: object) -> object:
    """Return named tuples as dictionaries, at any depth."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _to_json(part) for name, part in value._asdict().items()}
    return [_to_json(part) for part in value] if isinstance(value, tuple) else value
