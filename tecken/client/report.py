"""Output of an upload: a line for each file, the totals and the page of the upload, or all of it as JSON.

Standard output has the lines of files, the totals and the addresses. Standard error has what needs attention:
files that failed, warnings, and attempts that are repeated. `--quiet` leaves only the addresses on standard
output, and `--json` one document, which is printed at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from tecken.client import __version__
from tecken.client.files import Found, Remark, SymbolFile
from tecken.client.modules import find_ids
from tecken.client.origin import UploadOrigin
from tecken.client.uploads import FileState, Result, format_bytes

WORST_FIRST: Final = tuple(FileState)
WIDTH: Final = max(len(state.value) for state in FileState)
DEBUG_ID: Final = "debug id"


class FileReport:
    """File with its ids and what has happened to it. Several keys of one file are one entry.

    `ids` has texts by `debug id`, `build id` and `code id`.
    """

    def __init__(self, path: str, ids: dict[str, list[str]], size: int = 0) -> None:
        self.path, self.ids, self.size = path, ids, size
        self.results: dict[str, Result | None] = {}
        self.reasons: list[str] = []
        self.warnings: list[str] = []
        self.state = FileState.NOT_SENT

    def add(self, result: Result) -> None:
        """Add the result of one key. The worst one of all keys is the file's."""
        self.results[result.key] = result
        self.reasons += [result.reason] if result.reason and result.reason not in self.reasons else []
        self.warnings += (warning for warning in result.warnings if warning not in self.warnings)
        states = [known.state for known in self.results.values() if known]
        # A file that is stored under one of its keys and was there under the other is stored.
        self.state = min(states, key=WORST_FIRST.index)

    @property
    def is_complete(self) -> bool:
        """Return whether all keys have a result."""
        return None not in self.results.values()

    def line(self) -> str:
        """Return state, path, ids and size."""
        ids = ", ".join(f"{name} {' '.join(texts)}" for name, texts in self.ids.items())
        return f"{self.state.value:{WIDTH}}  {self.path}  {ids}  {format_bytes(self.size)}"

    def document(self) -> dict[str, Any]:
        """Return the entry of the JSON document."""
        return {
            "path": self.path,
            "keys": list(self.results),
            "size": self.size,
            "debug_ids": self.ids.get(DEBUG_ID, []),
            "build_ids": self.ids.get("build id", []),
            "code_ids": self.ids.get("code id", []),
            "state": self.state.value,
            "reason": "; ".join(self.reasons) or None,
            "warnings": self.warnings,
        }


class Style(NamedTuple):
    """What of a report is printed: `--quiet` and `--json`."""

    is_quiet: bool = False
    is_json: bool = False


class UploadReport:
    """Results of all files, which are printed as they arrive. `site` is the address that a slash ends."""

    def __init__(self, found: Found, site: str, origin: UploadOrigin, style: Style) -> None:
        self._site, self._origin, self._style = site, origin, style
        self._files: list[FileReport] = []
        self._by_key: dict[str, FileReport] = {}
        self._uploads: dict[int, None] = {}
        self._error: str | None = None
        modules = {module.path: module for module in found.modules}
        by_path: dict[Path, FileReport] = {}
        for file in found.files:
            if file.path not in by_path:
                module = modules.get(file.path)
                ids = find_ids(module.objects) if module else {DEBUG_ID: [file.key.split("/")[1]]}
                by_path[file.path] = self._new(file.label or str(file.path), ids, file.size)
            self._by_key[file.key] = by_path[file.path]
            by_path[file.path].results[file.key] = None

    def _new(self, path: str, ids: dict[str, list[str]], size: int = 0) -> FileReport:
        self._files.append(FileReport(path, ids, size))
        return self._files[-1]

    def refuse(self, remarks: Iterable[Remark], state: FileState) -> None:
        """Add files that cannot be sent, or are skipped."""
        for remark in remarks:
            entry = self._new(str(remark.path), {})
            entry.add(Result("", state, remark.reason))
            entry.results.clear()
            self._print_entry(entry)

    def warn(self, file: SymbolFile, text: str) -> None:
        """Add a warning about a file that is sent, and print it."""
        entry = self._by_key[file.key]
        if text not in entry.warnings:
            entry.warnings.append(text)
            print_error(f"warning: {entry.path}: {text}")

    def add(self, result: Result) -> None:
        """Add the result of a key. The file's line is printed when all of its keys have one."""
        entry = self._by_key.get(result.key)
        if entry is None:
            # The server unpacks files and names those in them.
            entry = self._by_key[result.key] = self._new(result.key, {})
        before = len(entry.warnings)
        entry.add(result)
        if result.upload is not None:
            self._uploads[result.upload] = None
        for warning in entry.warnings[before:]:
            print_error(f"warning: {entry.path}: {warning}")
        if entry.is_complete:
            self._print_entry(entry)

    def _print_entry(self, entry: FileReport) -> None:
        reason = "; ".join(entry.reasons)
        if entry.state is FileState.FAILED:
            print_error(f"failed: {entry.path}: {reason}")
        elif entry.state is FileState.SKIPPED:
            self._print_text(f"{entry.state.value:{WIDTH}}  {entry.path}: {reason}")
        else:
            self._print_text(entry.line())

    def stop(self, error: str) -> None:
        """Add the error that ended the upload before all files had a result, and print it."""
        self._error = error
        print_error(error)

    def finish(self, status: int) -> int:
        """Print the totals and the addresses, or the document. Return the exit status."""
        if self._style.is_json:
            print_lines(json.dumps(self.document(status), indent=2))
        else:
            # Totals of an upload that has not begun would only repeat the error.
            if not self._error or self._count(FileState.STORED) or self._count(FileState.THERE_BEFORE):
                self._print_text(self._summary())
            print_lines(*self._addresses())
        return status

    def document(self, status: int) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "version": __version__,
            "site": self._site,
            "exit_status": status,
            "error": self._error,
            "origin": self._origin._asdict(),
            "uploads": list(self._addresses()),
            "totals": {
                "files": len(self._files),
                "bytes": sum(entry.size for entry in self._files),
                **{state.value.replace(" ", "_"): self._count(state) for state in FileState},
                "warnings": self._count_warnings(),
            },
            "files": [entry.document() for entry in self._files],
        }

    @property
    def has_failures(self) -> bool:
        """Return whether a file has failed."""
        return self._count(FileState.FAILED) > 0

    def _count(self, state: FileState) -> int:
        return sum(entry.state is state for entry in self._files)

    def _count_warnings(self) -> int:
        return sum(len(entry.warnings) for entry in self._files)

    def _addresses(self) -> Iterator[str]:
        return (f"{self._site}uploads/{number}/" for number in self._uploads)

    def _summary(self) -> str:
        """Return the totals; of the rarer ones those that are not 0."""
        count = len(self._files)
        size = format_bytes(sum(entry.size for entry in self._files))
        rarer = {
            "skipped": self._count(FileState.SKIPPED),
            "failed": self._count(FileState.FAILED),
            "not sent": self._count(FileState.NOT_SENT),
            "with warnings": sum(bool(entry.warnings) for entry in self._files),
        }
        parts = [
            f"{self._count(FileState.STORED)} stored",
            f"{self._count(FileState.THERE_BEFORE)} there before",
            *(f"{number} {name}" for name, number in rarer.items() if number),
        ]
        return f"{count} {'file' if count == 1 else 'files'}, {size}: {', '.join(parts)}"

    def _print_text(self, line: str) -> None:
        if not (self._style.is_quiet or self._style.is_json):
            print_lines(line)


def print_lines(*lines: str) -> None:
    """Print lines. A reader that has closed its end, such as `head`, does not change the exit status."""
    if not lines:
        return
    try:
        # Not print(): a progress bar may be on the terminal.
        tqdm.write("\n".join(lines), file=sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and os.name != "nt":
            raise
        # Without this, Python would fail again when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(message: str) -> None:
    """Print a line about something that needs attention."""
    tqdm.write(f"tecken-upload: {message}", file=sys.stderr)


def make_printable(*streams: Any) -> None:
    """Escape characters that the encoding of a console does not have, instead of failing at them."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def describe_files(files: Sequence[SymbolFile]) -> list[str]:
    """Return a line for each file that would be sent: key, bytes, path."""
    return [f"{file.key}\t{file.size}\t{file.path}" for file in files]
