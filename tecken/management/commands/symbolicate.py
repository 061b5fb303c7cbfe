"""Command `symbolicate`: symbolicate stacks in this process."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import CommandError

from tecken.errors import TeckenError
from tecken.management.command import SiteCommand
from tecken.management.text import stack_lines
from tecken.runtimeconfig.current import options
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import RequestLimits, v5_jobs
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts, symbolicate

UNLIMITED = RequestLimits(jobs=sys.maxsize, frames=sys.maxsize)


class Command(SiteCommand):
    """Symbolication without a web server and a worker."""

    help = """Symbolicate stacks in this process; no web server and no worker is needed.

The request is that of POST /symbolicate/v5: {"jobs": [...]}, or one job as it is,
{"memoryMap": [["xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2"]], "stacks": [[[0, 11723767]]]}.
Symbol files are searched in STORAGE_URL, then in SYMBOL_SOURCES; their symbols are stored."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        parser.add_argument("file", metavar="FILE", help="JSON of the request, or - for standard input")
        parser.add_argument("--json", action="store_true", help="print the response of /symbolicate/v5")

    def handle(self, *, file: str, json: bool, **_options: Any) -> None:
        """Symbolicate the stacks and print them."""
        try:
            response = symbolicate(_build_parts(), V5(), v5_jobs(_read(file), UNLIMITED))
        except TeckenError as error:
            raise CommandError(str(error)) from error
        if json:
            self.stdout.write(response.decode())
            return
        for line in stack_lines(orjson.loads(response)["results"]):
            self.stdout.write(line)


def _build_parts() -> Parts:
    return Parts(
        symbolication_services.symbol_loader(),
        symbolication_services.inline_conversion(),
        FrameCache(options().process_frame_bytes),
        settings.CONVERT_TIME_LIMIT_SECONDS,
    )


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
