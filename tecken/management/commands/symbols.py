"""Command `symbols`: add, import, show, check, reconvert and remove stored symbols.

The check: storage, database and page files agree. It can repair differences. An upload stores a file,
invalidates the symbols of the previous one and writes its row last (`tecken.upload.ingest`). So a file
without a row is an upload that has not ended, or was added by hand; neither is a problem.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from functools import partial, reduce
from itertools import groupby
from operator import attrgetter, or_
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from tqdm import tqdm

from tecken.errors import BadModule, NotFound, TeckenError, Unavailable
from tecken.management import symbols_import
from tecken.management.blob_check import BlobCheck
from tecken.management.command import SiteCommand
from tecken.management.text import header_lines, symbol_lines
from tecken.storage import services as storage_services
from tecken.storage.models import FetchedModule, NativeName, SymbolFile
from tecken.storage.port import OwnFiles, Stored
from tecken.store.port import Missing
from tecken.symbolication import fetched
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.conversion.reconversion import OutdatedModule, is_without_name
from tecken.symbolication.frame_lookup import Terms, look_up
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId, is_zero_debug_id
from tecken.symbols.layouts import FileKey, FileType, object_of, parse_storage_path
from tecken.symbols.pagefile.file import Header, Metadata
from tecken.upload.file_rows import ZERO_ID

SUFFIXES = tuple(FileType.SYMBOL_FILE.suffix + packed for packed in ("", ".gz", ".zst"))
SUFFIX_LIST = "{}, {} or {}".format(*SUFFIXES)
CHUNK_BYTES = 1024 * 1024
TRIES = 2


class Command(SiteCommand):
    """Subcommands add, import, show, fsck, reconvert and fetched."""

    help = (
        "Add symbol files to the storage, import them from a store or bucket, show a module, check what is "
        "stored, convert it again, or list and remove symbols of upstreams."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser(
            "add",
            help="store and convert symbol files",
            description="Store symbol files and convert them, so that requests need not wait. "
            "A file is stored under the name and id in its MODULE record and replaces an older one.",
        )
        paths = f"a file, or a directory with {SUFFIX_LIST}"
        add.add_argument("paths", metavar="PATH", nargs="+", type=Path, help=paths)
        show = commands.add_parser(
            "show",
            help="show the symbols of a module",
            description="Show a module's metadata, pages and sizes, or the symbol at an offset. "
            "A cold module is fetched and converted first.",
        )
        show.add_argument("module", metavar="FILE/ID", type=_parse_module, help="debug file and debug id")
        show.add_argument(
            "offset",
            metavar="OFFSET",
            nargs="?",
            type=_parse_offset,
            help="module offset, such as 0x1f or 31",
        )

        fsck = commands.add_parser(
            "fsck",
            help="check that storage, database and page files agree",
            description="Report rows whose file is missing or is another one, page files that are older"
            " than their symbol file or have none and are of no upstream, and content of native files that is"
            " missing, damaged or of no file. Uploads may continue at the same time.",
        )
        fsck.add_argument(
            "--repair",
            action="store_true",
            help="remove such rows and page files, so that files are uploaded and converted again",
        )
        fsck.add_argument(
            "--content",
            action="store_true",
            help="also read the content of all native files, and compare it with its hash",
        )

        self._add_reconvert(commands)
        symbols_import.add_arguments(commands)
        self._add_fetched(commands)

    def _add_reconvert(self, commands: Any) -> None:
        reconvert = commands.add_parser(
            "reconvert",
            help="convert native files again that an older engine has converted",
            description="Convert modules again whose page file was made from a native file by an older "
            "engine, or by the one in Python while tecken-dump is in use. Requests are answered meanwhile.",
        )
        only = "only these modules, default: all"
        reconvert.add_argument("modules", metavar="FILE/ID", nargs="*", type=_parse_module, help=only)
        reconvert.add_argument("--dry-run", action="store_true", help="list the modules and convert nothing")

    def _add_fetched(self, commands: Any) -> None:
        fetched = commands.add_parser(
            "fetched",
            help="list or remove symbols of upstreams",
            description="List the modules whose symbols came from upstreams, the oldest first, and the "
            "totals of each upstream. Removed modules are fetched again when they are needed.",
        )
        fetched.add_argument(
            "modules",
            metavar="FILE/ID",
            nargs="*",
            type=_parse_module,
            help="only these modules, default: all",
        )
        fetched.add_argument(
            "--upstream", metavar="TEXT", help="only those of upstreams with this in their name"
        )
        fetched.add_argument("--days", metavar="N", type=int, help="only those fetched at least N days ago")
        fetched.add_argument("--remove", action="store_true", help="remove them")

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand."""
        if command == "add":
            self._add(options["paths"])
        elif command == "fetched":
            rows = _find_fetched(options["modules"], options["upstream"], options["days"])
            self._fetched(rows, remove=options["remove"])
        elif command == "fsck":
            self._fsck(repair=options["repair"], content=options["content"])
        elif command == "import":
            symbols_import.SymbolsImport(self.stdout, self.stderr, options).run()
        elif command == "reconvert":
            self._reconvert(options["modules"], dry_run=options["dry_run"])
        else:
            self._show(options["module"], options["offset"])

    def _add(self, paths: Iterable[Path]) -> None:
        files = list(_find_files(paths))
        added = 0
        for path, outcome in _add_all(files):
            added += isinstance(outcome, Header)
            # Without this mode the lines would be written into the progress bar.
            with tqdm.external_write_mode():
                self._report(path, outcome)
        summary = f"{added} added, {len(files) - added} skipped"
        if not added:
            raise CommandError(summary if files else f"no {SUFFIX_LIST} found")
        self.stdout.write(summary)

    def _report(self, path: Path, outcome: Header | Exception) -> None:
        if isinstance(outcome, Header):
            metadata = outcome.metadata
            module = f"{metadata.debug_file}/{metadata.debug_id.upper()}"
            self.stdout.write(f"{module}: {metadata.symbols:,} symbols")
            for warning in _find_warnings(metadata):
                self.stderr.write(f"warning for {path}: {warning}")
        else:
            self.stderr.write(f"skipped {path}: {outcome}")

    def _show(self, module: ObjectId, offset: int | None) -> None:
        header = _load_header(module)
        lines = header_lines(module, header) if offset is None else _find_symbol(module, header, offset)
        for line in lines:
            self.stdout.write(line)

    def _fsck(self, *, repair: bool, content: bool) -> None:
        try:
            check = Fsck(upstreams=bool(settings.SYMBOL_SOURCES or settings.SYMBOL_PRESETS), content=content)
            problems = list(check.find_problems())
            for problem in problems:
                self.stdout.write(problem.text)
                if repair:
                    problem.repair()
        except Unavailable as error:
            raise CommandError(str(error)) from error
        files = sum(len(stored) for _, stored in check.files.values())
        summary = f"{files} files, {len(check.page_files)} page files: {len(problems)} problems"
        if problems and not repair:
            raise CommandError(summary)
        self.stdout.write(f"{summary}{', repaired' if problems else ''}")

    def _fetched(self, rows: QuerySet[FetchedModule], *, remove: bool) -> None:
        for row in rows.order_by("fetched_at", "pk").iterator():
            line = f"{row}: {row.format} of {row.upstream}, {row.received_size:,} bytes, "
            self.stdout.write(f"{line}{row.stored_size:,} stored, {row.fetched_at:%Y-%m-%d %H:%M}")
        for upstream, modules, received, stored in fetched.totals_of_upstreams(rows):
            line = f"{upstream}: {modules:,} modules, {received:,} bytes, {stored:,} stored"
            self.stdout.write(line)
        if remove:
            try:
                removed = fetched.remove_all(rows)
            except Unavailable as error:
                raise CommandError(f"{error}; run the command again to continue") from error
            self.stdout.write(f"{removed.modules:,} modules removed, {removed.bytes:,} bytes")

    def _reconvert(self, modules: Sequence[ObjectId], *, dry_run: bool) -> None:
        outdated = failed = 0
        try:
            for found in _find_outdated(modules):
                outdated += 1
                with tqdm.external_write_mode():
                    self.stdout.write(f"{found.module.debug_id}: made by {found.made_by}")
                    failed += not dry_run and not self._reconvert_one(found.module)
        except Unavailable as error:
            raise CommandError(str(error)) from error
        if failed:
            raise CommandError(f"{outdated - failed} converted again, {failed} failed")
        self.stdout.write(f"{outdated} {'would be converted' if dry_run else 'converted'} again")

    def _reconvert_one(self, module: ObjectId) -> bool:
        """Convert a module again. Return whether that succeeded; if not, its old page file stays."""
        try:
            symbolication_services.reconvert_module(module)
        except TeckenError as error:
            self.stderr.write(f"{module.debug_id} stays as it is: {error}")
            return False
        return True


def _find_fetched(
    modules: Sequence[ObjectId], upstream: str | None, days: int | None
) -> QuerySet[FetchedModule]:
    """Return the modules of upstreams that match all of the conditions that are given."""
    rows = FetchedModule.objects.all()
    if modules:
        names = (Q(debug_file=module.name, debug_id=module.debug_id) for module in modules)
        rows = rows.filter(reduce(or_, names))
    if upstream:
        rows = rows.filter(upstream__contains=upstream)
    if days is not None:
        rows = rows.filter(fetched_at__lte=timezone.now() - timedelta(days=days))
    return rows


def _find_outdated(modules: Sequence[ObjectId]) -> Iterator[OutdatedModule]:
    """Yield the outdated ones of the modules given, or of all; show the progress. Raises Unavailable."""
    search = symbolication_services.outdated_modules()
    chosen = modules or search.all()
    results = tqdm(search.among(chosen), total=len(chosen), unit=" modules", leave=False, disable=None)
    yield from filter(None, results)


def _find_warnings(metadata: Metadata) -> Iterator[str]:
    """Yield the reasons for which a file is less useful than its owner may expect."""
    if is_zero_debug_id(metadata.debug_id):
        yield ZERO_ID
    for kind, count in metadata.dropped.items():
        yield f"{count:,} left out: {kind}"


def _find_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path}: no such file or directory")
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
        else:
            yield path


def _add_all(files: list[Path]) -> Iterator[tuple[Path, Header | Exception]]:
    """Add the files in threads. Yield each as it is done.

    Most of the time is spent in zstd and zlib, which release the GIL.
    """
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
        return symbolication_services.importer().import_file(partial(_read_chunks, path, read))
    except (TeckenError, OSError) as error:
        return error


def _read_chunks(path: Path, read: Callable[[int], object]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            read(len(chunk))
            yield chunk


def _load_header(module: ObjectId) -> Header:
    # The header may be evicted between its conversion and the second lookup.
    for _ in range(TRIES):
        header = symbolication_services.symbol_loader().headers([module], Trace()).get(module)
        if isinstance(header, Header):
            return header
        failure = header or _convert(module)
        if failure:
            raise CommandError(f"{module}: {failure.reason if isinstance(failure, Missing) else failure}")
    raise CommandError(f"{module}: its symbols were evicted right after the conversion; try again")


def _convert(module: ObjectId) -> Missing | Unavailable | None:
    deadline = time.monotonic() + settings.CONVERT_TIME_LIMIT_SECONDS
    return symbolication_services.inline_conversion().convert_and_wait([module], deadline).get(module)


def _find_symbol(module: ObjectId, header: Header, offset: int) -> Iterator[str]:
    terms = Terms(lambda _, frame: frame, lambda: False)
    result = look_up(
        symbolication_services.symbol_loader(), {module: (header, {offset})}, Trace(), terms.search
    )
    if module not in result.frames:
        raise CommandError(f"{module}: {result.failed.get(module, 'its symbols have just been replaced')}")
    return symbol_lines(offset, result.frames[module][offset])


def _parse_module(text: str) -> ObjectId:
    debug_file, _, debug_id = text.rpartition("/")
    try:
        return ObjectId.parse(debug_file, debug_id)
    except BadModule as error:
        raise ArgumentTypeError(f"{text}: {error}") from error


def _parse_offset(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise ArgumentTypeError(f"{text}: expected a number such as 0x1f or 31") from error


# Check of storage


class Problem(NamedTuple):
    """A difference, and the function that removes the wrong side of it."""

    text: str
    repair: Callable[[], object]


class Fsck:
    """Comparison of everything that is stored. Its methods raise Unavailable.

    Uploads may continue at the same time. Therefore page files are listed before symbol files, which are
    stored before them, and a row that seems wrong is compared again with the present file.
    """

    def __init__(self, *, upstreams: bool, content: bool = False) -> None:
        self._content = content
        self.page_files = dict(storage_services.page_files().entries())
        self.former = list(storage_services.page_files().former())
        self.files = {
            files.name: (files, dict(files.entries()))
            for files in (storage_services.own_files(), storage_services.try_files())
        }
        self._newest = {name: _newest_symbols(stored) for name, (_, stored) in self.files.items()}
        self._newest_native = dict(_newest_native_files())
        names = NativeName.objects.values_list("debug_file", "debug_id", "native_id", "try_symbols")
        self._native_names = {
            ObjectId(*name, is_try=is_try): native_id for *name, native_id, is_try in names.iterator()
        }
        # After the page files, which are written after their records.
        of_upstreams = FetchedModule.objects.values_list("debug_file", "debug_id")
        self._fetched = {ObjectId(*name) for name in of_upstreams.iterator()} if upstreams else set()

    def find_problems(self) -> Iterator[Problem]:
        """Yield every difference."""
        for files, stored in self.files.values():
            yield from _find_row_problems(files, stored)
            # After the rows: with the last row of a file, its content becomes one of no file.
            for text, repair in BlobCheck(files, stored, read=self._content).find_problems():
                yield Problem(f"{files.name}/{text}", repair)
        for module, written in self.page_files.items():
            yield from self._find_page_problems(module, written)
        for path in self.former:
            repair = partial(storage_services.page_files().delete_former, path)
            yield Problem(f"{path}: it is of a former release, and never read", repair)

    def _find_page_problems(self, module: ObjectId, written: datetime) -> Iterator[Problem]:
        files = storage_services.try_files() if module.is_try else storage_services.own_files()
        stored = self._newest[files.name].get(ObjectId(module.debug_file, module.debug_id))
        stored = stored or self._find_native(module)
        repair = partial(symbolication_services.invalidate_module, module)
        if stored and stored > written:
            yield Problem(f"page file of {module}: older than the symbol file", repair)
        elif not stored and module not in self._fetched:
            # Nothing is converted ahead of demand: it may be of an upstream.
            repair = partial(symbolication_services.remove_derived, module)
            yield Problem(f"page file of {module}: there is no symbol file", repair)

    def _find_native(self, module: ObjectId) -> datetime | None:
        """Return when the newest native file of a module was stored."""
        own = module.debug_id if is_without_name(module) else ""
        return self._newest_native.get((self._native_names.get(module, own), module.is_try))


def _newest_native_files() -> Iterator[tuple[tuple[str, bool], datetime]]:
    """Yield for each debug id, of regular and of try builds, when its last native file was stored."""
    for is_try in (False, True):
        rows = SymbolFile.objects.native(try_symbols=is_try).convertible().values_list("native_id")
        for native_id, completed_at in rows.annotate(Max("completed_at")):
            yield (native_id, is_try), completed_at


def _newest_symbols(stored: dict[FileKey, Stored]) -> dict[ObjectId, datetime]:
    """Return when the symbol file of each object was last stored, in any spelling of its name."""
    newest: dict[ObjectId, datetime] = {}
    for key, file in stored.items():
        if (object_id := object_of(key)) is not None:
            newest[object_id] = max(file.modified, newest.get(object_id, file.modified))
    return newest


def _find_row_problems(files: OwnFiles, stored: dict[FileKey, Stored]) -> Iterator[Problem]:
    """Yield keys whose newest row does not match the stored file.

    The repair deletes the rows, so that the next upload stores the file again.
    """
    rows = SymbolFile.objects.filter(bucket_name=files.name, completed_at__isnull=False)
    newest_first = rows.order_by("key", "-completed_at", "-pk").iterator()
    for path, group in groupby(newest_first, attrgetter("key")):
        key, row = parse_storage_path(path), next(group)
        # The list may be outdated, because uploads continue, so a difference is checked against the storage.
        if _differs(row, stored.get(key)) and _differs(row, present := _stat(files, key)):
            text = "another file than in its row" if present else "a row and no file"
            yield Problem(f"{files.name}/{path}: {text}", rows.filter(key=path, pk__lte=row.pk).delete)


def _differs(row: SymbolFile, stored: Stored | None) -> bool:
    # The size of a row is that of the stored form, which only the file's content has.
    size = row.original_size if row.blob_id else row.size
    return stored is None or (stored.size, stored.etag) != (size, row.etag)


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except NotFound:
        return None
