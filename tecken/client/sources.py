"""Source bundles for the modules of a build: the source files that their debug information names.

Symbol files name them in FILE records. For native files another program lists them: `tecken-dump` or LLVM's
`llvm-dwarfdump`, whichever is installed. A path is used only if it leads to a file below the given root,
after symbolic links are followed, so that a doctored or careless path cannot take other files along.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Final, NamedTuple

from tecken.client.files import Remark, SymbolFile
from tecken.client.modules import Module
from tecken.symbols.formats.base import Kind
from tecken.symbols.formats.source_bundle import (
    HEADER,
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_PATH_BYTES,
    MAX_TOTAL_BYTES,
    SOURCE,
)
from tecken.symbols.layouts import FileKey, FileType
from tecken.symbols.source_paths import lookup_form

TECKEN_DUMP: Final = "tecken-dump"
DWARFDUMP: Final = "llvm-dwarfdump"
NO_PROGRAM: Final = (
    f"its source files cannot be listed: install {DWARFDUMP} (LLVM 19 or newer), "
    f"or give its {FileType.SYMBOL_FILE.suffix} file"
)
SECONDS: Final = 600.0
MAX_REASON_BYTES: Final = 500


class Bundle(NamedTuple):
    """Source bundle of a module, and how many of its source files are in it. `file` is None without any."""

    name: str
    file: SymbolFile | None
    found: int
    left_out: int


class Unlisted(Exception):
    """Module whose source files cannot be listed. The text has the reason."""


def list_sources(module: Module) -> set[str]:
    """Return the paths in a module's debug information. Raises Unlisted and OSError."""
    # The absolute path begins with a slash, so that no program takes it for an option.
    path = str(module.path.absolute())
    if FileType.of_name(module.path.name) is FileType.SYMBOL_FILE:
        with module.path.open("rb") as file:
            return set(_file_records(file))
    beside = Path(sys.executable).with_name(TECKEN_DUMP)
    if program := shutil.which(TECKEN_DUMP) or shutil.which(beside):
        return set(_run([program, path], is_symbol_file=True))
    if program := shutil.which(DWARFDUMP):
        return set(_run([program, "--show-sources", path], is_symbol_file=False))
    raise Unlisted(NO_PROGRAM)


def _file_records(lines: Iterable[bytes]) -> Iterator[str]:
    # tecken-dump writes a FILE record before the first function that needs it, so all lines are read.
    for line in lines:
        if line.startswith(b"FILE "):
            yield _text(line).split(" ", 2)[-1]


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")


def _run(command: list[str], *, is_symbol_file: bool) -> Iterator[str]:
    """Yield the paths that a program prints: those of FILE records, or one a line. Raises Unlisted."""
    with (
        TemporaryFile() as errors,
        # The program is one of two, and its argument the path of a file that exists.
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603
    ):
        assert process.stdout
        timer = Timer(SECONDS, process.kill)
        timer.start()
        try:
            yield from _file_records(process.stdout) if is_symbol_file else map(_text, process.stdout)
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
        errors.seek(0)
        reason = errors.read(MAX_REASON_BYTES).decode(errors="replace").strip()
    if status and "--show-sources" in reason:
        raise Unlisted(f"{Path(command[0]).name} here is too old: {NO_PROGRAM}")
    if status:
        raise Unlisted(f"{Path(command[0]).name} cannot list its source files: {reason or 'it was ended'}")


def bundle_sources(
    modules: Iterable[Module], root: Path, directory: Path, problems: list[Remark]
) -> Iterator[Bundle]:
    """Write a bundle for each debug id into a directory, from files below a root, and yield it.

    A module whose source files cannot be listed is added to `problems`. Raises OSError.
    """
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for module in modules:
        if module.keys and Kind.DEBUG in {info.kind for info in module.objects}:
            try:
                paths = list_sources(module)
            except (Unlisted, OSError) as error:
                problems.append(Remark(module.path, str(error)))
                continue
            for debug_id in module.ids:
                named[module.keys[0].debug_file, debug_id] |= paths
    for number, ((name, debug_id), paths) in enumerate(named.items()):
        found = _select(sorted(paths), root.resolve())
        key = FileKey(name, debug_id, FileType.SOURCES.file_name(name))
        target = directory / f"{number}{FileType.SOURCES.suffix}"
        file = _write(target, key, found) if found else None
        yield Bundle(name, file, len(found), len(paths) - len(found))


def _select(paths: Iterable[str], root: Path) -> dict[str, Path]:
    """Return the files below the root by their paths, no more than a bundle may have."""
    found: dict[str, Path] = {}
    left = MAX_TOTAL_BYTES
    for path in paths:
        try:
            file = Path(root, path).resolve(strict=True)
            size = file.stat().st_size
        except (OSError, ValueError, RuntimeError):
            continue
        is_bounded = size <= min(left, MAX_FILE_BYTES) and len(path.encode()) <= MAX_PATH_BYTES
        if file.is_file() and file.is_relative_to(root) and is_bounded and len(found) < MAX_FILES:
            found[lookup_form(path)] = file
            left -= size
    return found


def _write(target: Path, key: FileKey, found: dict[str, Path]) -> SymbolFile:
    """Write a bundle. The same files make the same bytes, so that the server stores them once."""
    files = {}
    with target.open("w+b") as out:
        out.write(HEADER)
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
            for number, (path, file) in enumerate(found.items()):
                name = f"files/{number}/{file.name}"
                files[name] = {"type": SOURCE, "path": path}
                archive.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED)
            manifest = {"files": files, "debug_id": key.debug_id.lower(), "object_name": key.debug_file}
            archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest), zipfile.ZIP_DEFLATED)
    return SymbolFile(str(key), target, target.stat().st_size, key.file_name)
