"""Command `sources`: convert the sources of another server to the setting SYMBOL_SOURCES."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

import yaml
from django.core.management.base import CommandError

from tecken.management.command import SiteCommand
from tecken.storage.upstreams.symbolicator import convert_sources

MAX_BYTES: Final = 1 << 20


class Command(SiteCommand):
    """Subcommand from-symbolicator."""

    help = "Convert the sources of another server to the setting SYMBOL_SOURCES."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        convert = commands.add_parser(
            "from-symbolicator",
            help="convert Symbolicator's configuration",
            description="Print SYMBOL_SOURCES for the sources of a configuration. Sources that cannot be "
            "converted are listed with the reason, and the exit status is then 1.",
        )
        convert.add_argument("file", metavar="FILE", type=Path, help="configuration in YAML or JSON")

    def handle(self, *, file: Path, **_options: Any) -> None:
        """Print the setting, and what cannot be part of it."""
        results = list(convert_sources(_read_sources(file)))
        refused = [result for result in results if result.refusal]
        entries = [entry for result in results for entry in result.entries]
        self.stdout.write(f"SYMBOL_SOURCES={','.join(dict.fromkeys(entries))}")
        for result in results:
            for note in result.notes:
                self.stderr.write(f"{result.name}: {note}")
        for result in refused:
            self.stderr.write(f"refused {result.name}: {result.refusal}")
        if refused:
            raise CommandError(f"{len(refused)} of {len(results)} sources are not in SYMBOL_SOURCES")


def _read_sources(file: Path) -> list[object]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CommandError(f"{file} has more than {MAX_BYTES:,} bytes")
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        # The text of the error may quote a line with a secret.
        raise CommandError(f"{file} is no YAML: {type(error).__name__}") from error
    sources = content.get("sources") if isinstance(content, dict) else content
    if not isinstance(sources, list):
        raise CommandError(f"{file} has no list `sources`")
    return sources
