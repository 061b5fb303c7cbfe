"""Command `config`: list and change the options of the running site."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from django.core.management.base import CommandError
from django.utils import timezone

from tecken.errors import TeckenError, Unavailable
from tecken.management import configuration as text
from tecken.management.command import SiteCommand
from tecken.management.text import FORMS, format_time, moment
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.option import to_text
from tecken.runtimeconfig.options import find_option
from tecken.runtimeconfig.snapshot import Entry, build_rows, check_all
from tecken.runtimeconfig.undo import Later, plan_undo, undo

# A watcher that receives no message polls each second.
ROLLOUT_SECONDS = 5.0


class Command(SiteCommand):
    """Subcommands, one method each."""

    help = """List and change the options of the running site; every process applies a change within a second.

A change is validated, recorded in the database as a version, and sent to every process. All times are UTC.

  config set symbolicate_max_jobs 20 log_level DEBUG --why "a crash storm"
  config set symbolicate_max_jobs 5 --from 22:00 --until 23:00
  config set full_tracing "25% of users"
  config history symbolicate_max_jobs
  config undo 7
  config rollback 7"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("list", help="list all options with their values, bounds and authors")
        commands.add_parser("get", help="print one value").add_argument("name", metavar="NAME")
        _add_changes(commands)
        log = commands.add_parser("history", help="list who changed what, newest first")
        log.add_argument("name", nargs="?", metavar="NAME", help="of this option only")
        log.add_argument("--limit", type=_count, default=50, help="number of changes (default %(default)s)")
        diff = commands.add_parser("diff", help="list what differs between two versions")
        diff.add_argument("a", type=int, metavar="VERSION")
        diff.add_argument("b", type=int, nargs="?", metavar="VERSION", help="default: the newest")
        commands.add_parser("export", help="print everything that is set, as JSON for import")
        commands.add_parser("watch", help="print each change until Ctrl-C")

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand."""
        current.set_kind("command")
        try:
            getattr(self, f"_{command}")(**options)
        except TeckenError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            if command != "watch":
                raise
        except BrokenPipeError:
            # The reader, such as `head`, has ended. Without this, Python would fail again when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _list(self, **_options: Any) -> None:
        overview = text.read_overview()
        self._print(text.list_lines(overview, timezone.now()))
        self._warn(*overview.warnings)

    def _get(self, *, name: str, **_options: Any) -> None:
        option, overview = find_option(name), text.read_overview()
        rows = build_rows(overview.snapshot, timezone.now())
        self.stdout.write(next(row.in_force for row in rows if row.option is option))
        self._warn(*overview.warnings, overview.snapshot.bad.get(name, ""))

    def _set(self, *, pairs: list[str], start: str | None, end: str | None, **options: Any) -> None:
        names, texts = pairs[::2], pairs[1::2]
        if len(names) != len(texts):
            raise CommandError(f"{names[-1]}: a value is missing; expected NAME VALUE [NAME VALUE...]")
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise CommandError(f"given twice: {', '.join(sorted(twice))}")
        self._change(dict(zip(_keys(names, start, end), texts, strict=True)), **options)

    def _unset(self, *, names: list[str], **options: Any) -> None:
        # Record changes that were made by hand a moment ago, so that they can be unset, too.
        service.reconcile()
        with service.database():
            existing = service.newest().values
        windows = [key for name in names for key in existing if key.startswith(f"{name}@")]
        self._change(dict.fromkeys([*names, *windows]), **options)

    def _history(self, *, name: str | None, limit: int, **_options: Any) -> None:
        with service.database():
            changes = list(service.find_changes(name)[:limit])
        if name and not changes:
            find_option(name)
        for change in changes:
            version, what = change.version, text.format_change(change.entry, change.old, change.new)
            why = f"  # {version.why}" if version.why else ""
            self.stdout.write(
                f"{version.number:>5}  {format_time(version.at)}  {version.author}  {what}{why}"
            )

    def _diff(self, *, a: int, b: int | None, **_options: Any) -> None:
        with service.database():
            last = service.newest().values if b is None else service.find_texts(b)
            changed = service.difference(service.find_texts(a), last)
        self._print(text.format_change(key, *texts) for key, texts in changed.items())

    def _rollback(self, *, version: int, why: str, expected: int | None, **_options: Any) -> None:
        self._show(service.rollback(version, by=text.operator(), why=why, expected=expected))

    def _undo(
        self,
        *,
        version: int,
        later: Later | None,
        dry_run: bool,
        why: str,
        expected: int | None,
        **_options: Any,
    ) -> None:
        # Record changes that were made by hand a moment ago, so that they are not overwritten.
        service.reconcile()
        with service.database():
            plan = plan_undo(service.find_version(version), service.newest().values, timezone.now())
        if dry_run:
            self._print(text.undo_lines(plan))
            return
        author = service.Author(by=text.operator(), why=why, source="cli")
        self._show(undo(version, later=later, expected=expected, **author))
        self._warn(*(f"{entry} left out: {reason}" for entry, reason in plan.left_out.items()))

    def _export(self, **_options: Any) -> None:
        overview = text.read_overview()
        texts, bad = overview.snapshot.texts, overview.snapshot.bad
        usable = {key: given for key, given in texts.items() if key not in bad}
        self.stdout.write(json.dumps(usable, indent=2, sort_keys=True, ensure_ascii=False))
        self._warn(*overview.warnings, *(f"left out: {problem}" for problem in bad.values()))

    def _import(self, *, file: str, dry_run: bool, why: str, expected: int | None, **_options: Any) -> None:
        texts = _read(file)
        if not dry_run:
            self._show(service.replace(texts, by=text.operator(), why=why, expected=expected))
            return
        check_all(texts)
        with service.database():
            changed = service.difference(service.newest().values, texts)
        lines = [f"would change {text.format_change(key, *texts)}" for key, texts in changed.items()]
        self._print(lines or ["nothing to change"])

    def _watch(self, **_options: Any) -> None:
        for line in text.watch_lines(current.backend()):
            self.stdout.write(line)
            self.stdout.flush()

    def _change(
        self, changes: Mapping[str, str | None], *, why: str, expected: int | None, **_options: Any
    ) -> None:
        self._show(service.change(changes, by=text.operator(), why=why, source="cli", expected=expected))

    def _show(self, outcome: service.Outcome) -> None:
        changes = ", ".join(text.format_change(key, *texts) for key, texts in outcome.changed.items())
        line = f"version {outcome.version}: {changes or 'nothing to change'}"
        if not outcome.distributed:
            self.stdout.write(f"{line}; recorded")
            self._warn("the processes could not be reached; they get the change when the connection is back")
        elif outcome.changed:
            self.stdout.write(f"{line}; {_wait_for_rollout(outcome)}")
        else:
            self.stdout.write(line)

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _warn(self, *warnings: str) -> None:
        for warning in filter(None, warnings):
            self.stderr.write(f"warning: {warning}", self.style.WARNING)


def _wait_for_rollout(outcome: service.Outcome) -> str:
    """Return how many processes have the change."""
    try:
        progress = service.wait_for_rollout(outcome, ROLLOUT_SECONDS)
    except Unavailable as error:
        return f"it is unknown which processes have it: {error}"
    if not progress.processes:
        return "no process is running"
    return f"{progress}, waiting for {', '.join(progress.waiting)}" if progress.waiting else str(progress)


def _add_changes(commands: Any) -> None:
    """Add the subcommands that make a version."""
    setting = commands.add_parser(
        "set",
        help="change one or more options, all or none",
    )
    setting.add_argument("pairs", nargs="+", metavar="NAME VALUE", help="such as symbolicate_max_jobs 20")
    setting.add_argument("--from", dest="start", metavar="TIME", help=f"only from then on: {FORMS} (UTC)")
    setting.add_argument(
        "--until", dest="end", metavar="TIME", help="only until then; a duration counts from the start"
    )
    unsetting = commands.add_parser("unset", help="restore defaults, and remove windows")
    unsetting.add_argument("names", nargs="+", metavar="NAME", help="an option, or an entry NAME@START/END")
    rollback = commands.add_parser(
        "rollback", help="restore all values of a version, also over later versions"
    )
    rollback.add_argument("version", type=int, metavar="VERSION", help="0 is before anything was set")
    undoing = commands.add_parser("undo", help="restore only what a version changed, and keep later versions")
    undoing.add_argument("version", type=int, metavar="VERSION")
    undoing.add_argument(
        "--later",
        choices=get_args(Later),
        help="for options that were changed again since: keep or overwrite",
    )
    importing = commands.add_parser("import", help="set what a file of export contains, and nothing else")
    importing.add_argument("file", metavar="FILE", help="JSON of export, or - for standard input")
    for parser in (undoing, importing):
        parser.add_argument("--dry-run", action="store_true", help="print what would change; change nothing")
    for parser in (setting, unsetting, undoing, rollback, importing):
        parser.add_argument("--why", default="", help="reason, for the history")
        parser.add_argument(
            "--expect",
            type=int,
            dest="expected",
            metavar="VERSION",
            help="change nothing when there is a newer version",
        )


def _keys(names: list[str], start: str | None, end: str | None) -> list[str]:
    if start is None and end is None:
        return names
    now = timezone.now().replace(microsecond=0)
    try:
        first = moment(start, now) if start else now
        last = moment(end, first) if end else None
    except ArgumentTypeError as error:
        raise CommandError(str(error)) from None
    return [Entry(find_option(name).name, first, last).key for name in names]


def _count(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise ArgumentTypeError(f"{digits!r} should be a whole number")
    return int(digits)


def _read(file: str) -> dict[str, str]:
    """Return the texts in a file.

    Raises:
        CommandError: It cannot be read, or is no JSON object.
    """
    try:
        document = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}") from error
    if not isinstance(document, dict):
        raise CommandError(f"{file}: expected a JSON object, as `config export` prints it")
    return {key: to_text(value) for key, value in document.items()}
