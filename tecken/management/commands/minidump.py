"""Command `minidump`: walk a minidump in this process's child, and print its report."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, cast

import orjson
from django.conf import settings
from django.core.management.base import CommandError

from tecken.errors import TeckenError
from tecken.management.command import SiteCommand
from tecken.runtimeconfig.current import options
from tecken.symbolication.crash_dumps.services import process_here
from tecken.symbolication.minidump.text import format_minidump
from tecken.symbols.decompression import decompress, is_compressed
from tecken.symbols.ids import ObjectId

CHUNK_BYTES: Final = 256 << 10
LONGEST_MAGIC: Final = 8


class Command(SiteCommand):
    """Processing of a minidump without a web server and a worker."""

    help = """Process a minidump or a Linux core file in this process; no web server and no worker is needed.

Prints the cause of the crash, the stack of the thread that crashed, and the modules. Symbol files are
searched in STORAGE_URL, then in SYMBOL_SOURCES; their symbols are stored, and nothing of the dump. The file
may be compressed with gzip or zstd."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        parser.add_argument("file", metavar="FILE", help="minidump or core file, or - for standard input")
        parser.add_argument("--all-threads", action="store_true", help="print every thread and every module")
        parser.add_argument("--json", action="store_true", help="print the response of /process/minidump")

    def handle(self, *, file: str, json: bool, all_threads: bool, **_options: Any) -> None:
        """Process the dump and print its report."""
        try:
            with _open(file) as dump:
                report = process_here(dump, self._show_progress).report
        except TeckenError as error:
            raise CommandError(f"{file}: {error}") from error
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        if json:
            self.stdout.write(report.decode())
        else:
            self.stdout.write(format_minidump(orjson.loads(report), all_threads=all_threads), ending="")

    def _show_progress(self, module: ObjectId) -> None:
        self.stderr.write(f"preparing {module}")


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Open a dump: the file itself, or an unpacked copy. Raises OSError, Malformed and TooLarge."""
    with cast(BinaryIO, sys.stdin.buffer) if path == "-" else open(path, "rb") as source:
        if path != "-" and not is_compressed(source.read(LONGEST_MAGIC)):
            source.seek(0)
            yield source
            return
        if path != "-":
            source.seek(0)
        chunks = iter(partial(source.read, CHUNK_BYTES), b"")
        with cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR)) as copy:
            copy.writelines(decompress(chunks, options().minidump_max_bytes))
            copy.flush()
            yield copy
