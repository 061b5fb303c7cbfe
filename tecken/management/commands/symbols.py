from __future__ import annotations

import os
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from tecken.errors import BadModule, CouldNotAsk, TeckenError
from tecken.management.fsck import Fsck
from tecken.management.text import header_lines, symbol_lines
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.frame_lookup import Terms, look_up
from tecken.symbolication.trace import Trace
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId, is_zero_debug_id
from tecken.symbols.pagefile.file import Header, Metadata
from tecken.upload.usability import ZERO_ID

SUFFIXES = tuple(FileType.BREAKPAD.suffix + packed for packed in ("", ".gz", ".zst"))
SUFFIX_LIST = "{}, {} or {}".format(*SUFFIXES)
CHUNK_BYTES = 1024 * 1024
TRIES = 2


class Command(BaseCommand):
    help = "Add symbol files to our own storage, show what is known of a module, or check what is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser(
            "add",
            help="store and convert symbol files",
            description="Store symbol files and convert them, so that they answer at once. "
            "A file is kept under the name and id in its MODULE record and replaces an older one.",
        )
        paths = f"a file, or a directory with {SUFFIX_LIST}"
        add.add_argument("paths", metavar="PATH", nargs="+", type=Path, help=paths)
        show = commands.add_parser(
            "show",
            help="show what is known of a module",
            description="Show a module's metadata, pages and sizes, or what stands at an offset. "
            "A module that was never asked for is fetched and converted first.",
        )
        show.add_argument("module", metavar="FILE/ID", type=_module, help="debug file and debug id")
        show.add_argument(
            "offset", metavar="OFFSET", nargs="?", type=_offset, help="module offset, as 0x1f or 31"
        )

        fsck = commands.add_parser(
            "fsck",
            help="check that storage, database and page files agree",
            description="Report rows whose file is not there or is another one, and page files that are older"
            " than their symbol file or have none. Uploads may go on meanwhile.",
        )
        fsck.add_argument(
            "--repair",
            action="store_true",
            help="remove such rows and page files: files are uploaded, page files made again",
        )

    def handle(self, *, command: str, **options: Any) -> None:
        if command == "add":
            self._add(options["paths"])
        elif command == "fsck":
            self._fsck(repair=options["repair"])
        else:
            self._show(options["module"], options["offset"])

    def _add(self, paths: Iterable[Path]) -> None:
        files = list(_symbol_files(paths))
        added = 0
        for path, outcome in _added(files):
            added += isinstance(outcome, Header)
            with tqdm.external_write_mode():  # the bar steps aside
                self._tell(path, outcome)
        summary = f"{added} added, {len(files) - added} skipped"
        if not added:
            raise CommandError(summary if files else f"no {SUFFIX_LIST} there")
        self.stdout.write(summary)

    def _tell(self, path: Path, outcome: Header | Exception) -> None:
        if isinstance(outcome, Header):
            said = outcome.metadata
            self.stdout.write(f"{said.debug_file}/{said.debug_id.upper()}: {said.symbols:,} symbols")
            for warning in _warnings(said):
                self.stderr.write(f"warning for {path}: {warning}")
        else:
            self.stderr.write(f"skipped {path}: {outcome}")

    def _show(self, module: ObjectId, offset: int | None) -> None:
        header = _header(module)
        lines = header_lines(module, header) if offset is None else _symbol(module, header, offset)
        for line in lines:
            self.stdout.write(line)

    def _fsck(self, *, repair: bool) -> None:
        try:
            checked = Fsck(upstreams=bool(settings.SYMBOL_SOURCES))
            troubles = list(checked.troubles())
            for trouble in troubles:
                self.stdout.write(trouble.what)
                if repair:
                    trouble.repair()
        except CouldNotAsk as error:
            raise CommandError(str(error)) from error
        files = sum(len(stored) for _, stored in checked.files.values())
        summary = f"{files} files, {len(checked.page_files)} page files: {len(troubles)} troubles"
        if troubles and not repair:
            raise CommandError(summary)
        self.stdout.write(f"{summary}{', repaired' if troubles else ''}")


def _warnings(said: Metadata) -> Iterator[str]:
    """Yield what makes an added file of less use than its owner may think."""
    if is_zero_debug_id(said.debug_id):
        yield ZERO_ID
    for kind, count in said.dropped.items():
        yield f"{count:,} left out: {kind}"


def _symbol_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path}: no such file or directory")
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.name.endswith(SUFFIXES))
        else:
            yield path


def _added(files: list[Path]) -> Iterator[tuple[Path, Header | Exception]]:
    """Each file as it is done. Threads: zstd and zlib take most of the time, and let go of the GIL."""
    total = 2 * sum(path.stat().st_size for path in files)
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    with tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=None) as progress:
        try:
            adds = {pool.submit(_add_one, path, progress.update): path for path in files}
            for add in as_completed(adds):
                yield adds[add], add.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _add_one(path: Path, read: Callable[[int], object]) -> Header | Exception:
    try:
        return symbolication_services.importer().add(partial(_chunks, path, read))
    except (TeckenError, OSError) as error:
        return error


def _chunks(path: Path, read: Callable[[int], object]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            read(len(chunk))
            yield chunk


def _header(module: ObjectId) -> Header:
    for _ in range(TRIES):
        found = symbolication_services.symbol_loader().headers([module], Trace()).get(module)
        if isinstance(found, Header):
            return found
        why = found or _brought(module)
        if why:
            raise CommandError(f"{module}: {why.reason if isinstance(why, Missing) else why}")
    raise CommandError(f"{module}: it was converted and is gone again")


def _brought(module: ObjectId) -> Missing | CouldNotAsk | None:
    deadline = time.monotonic() + settings.CONVERT_TIME_LIMIT_SECONDS
    return symbolication_services.inline_conversion().bring([module], deadline).get(module)


def _symbol(module: ObjectId, header: Header, offset: int) -> Iterator[str]:
    terms = Terms(lambda _, frame: frame, lambda: False)
    looked = look_up(symbolication_services.symbol_loader(), {module: (header, {offset})}, Trace(), terms)
    if module not in looked.frames:
        raise CommandError(f"{module}: {looked.failed.get(module, 'its symbols were replaced just now')}")
    return symbol_lines(offset, looked.frames[module][offset])


def _module(text: str) -> ObjectId:
    debug_file, _, debug_id = text.rpartition("/")
    try:
        return ObjectId.parse(debug_file, debug_id)
    except BadModule as error:
        raise ArgumentTypeError(f"{text}: {error}") from error


def _offset(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise ArgumentTypeError(f"{text}: expected a number, as 0x1f or 31") from error
