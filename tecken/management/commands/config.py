from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from tecken.errors import CouldNotAsk, TeckenError
from tecken.management import configuration as text
from tecken.management.operator import operator
from tecken.management.times import FORMS, moment
from tecken.management.watching import watch_lines
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.history import database, difference, newest
from tecken.runtimeconfig.option import at_text
from tecken.runtimeconfig.options import named
from tecken.runtimeconfig.service import Outcome
from tecken.runtimeconfig.snapshot import check_all

SPREAD_SECONDS = 5.0  # a watcher that hears nothing looks each second
CLEAR_LINE = "\r\033[K"


class Command(BaseCommand):
    help = """Look at and change the options of the running site; every process has a change within a second.

A change is checked, recorded in the database as a version, and told to every process. All times are UTC.

  config set symbolicate_max_jobs 20 log_level DEBUG --why "a crash storm"
  config set symbolicate_max_jobs 5 --from 22:00 --until 23:00
  config set full_tracing "25% of users"
  config history symbolicate_max_jobs
  config rollback 7"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser
        _listing(add("list", help="every option: its value, what it may be, who set it"))
        add("get", help="print one value").add_argument("name", metavar="NAME")
        _setting(
            add(
                "set",
                help="change one or more options, all or none",
                description="Change one or more options: all in one version, or none. What can be on or off"
                ' can also be on for some: "25%" of requests, "25% of users", "25% of tokens",'
                ' "users a@example.com b@example.com", "tokens 12 15".',
            )
        )
        _unsetting(add("unset", help="back to the default, and nothing scheduled"))
        _history(add("history", help="who changed what, newest first"))
        _diffing(add("diff", help="what differs between two versions"))
        _rolling(add("rollback", help="make everything what it was at a version"))
        add("export", help="print all that is set, as JSON for import")
        _importing(add("import", help="set what a file from export says, and nothing else"))
        add("watch", help="print each change as it comes, until Ctrl-C")

    def handle(self, *, command: str, **options: Any) -> None:
        current.kind("command")
        try:
            getattr(self, f"_{command}")(**options)
        except TeckenError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            if command != "watch":
                raise
        except BrokenPipeError:  # whoever read it, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _list(self, *, as_json: bool, **_options: Any) -> None:
        seen, now = text.picture(), timezone.now()
        if as_json:
            self.stdout.write(json.dumps(text.as_json(seen, now), cls=DjangoJSONEncoder, indent=2))
            return
        for line in text.list_lines(seen, now):
            self.stdout.write(line)
        for trouble in seen.troubles:
            self._warn(trouble)

    def _get(self, *, name: str, **_options: Any) -> None:
        option, seen = named(name), text.picture()
        self.stdout.write(text.text_in_force(seen.snapshot, option.name, timezone.now()))
        for trouble in [
            *seen.troubles,
            *(seen.snapshot.bad[key] for key in seen.snapshot.bad if key == name),
        ]:
            self._warn(trouble)

    def _set(self, *, pairs: list[str], start: str | None, end: str | None, **options: Any) -> None:
        names, texts = pairs[::2], pairs[1::2]
        if len(names) != len(texts):
            raise CommandError(f"{names[-1]}: a value is missing; expected NAME VALUE [NAME VALUE...]")
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise CommandError(f"given twice: {', '.join(sorted(twice))}")
        self._change(dict(zip(_keys(names, start, end), texts, strict=True)), **options)

    def _unset(self, *, names: list[str], **options: Any) -> None:
        service.reconcile()  # what was set by hand just now can be unset too
        with database():
            there = newest().values
        self._change({key: None for name in names for key in text.entries_of(name, there)}, **options)

    def _history(self, *, name: str | None, limit: int, **_options: Any) -> None:
        with database():
            changes = list(service.history(name)[:limit])
        if name and not changes:
            named(name)
        for line in text.history_lines(changes):
            self.stdout.write(line)

    def _diff(self, *, a: int, b: int | None, **_options: Any) -> None:
        with database():
            changed = service.diff(a, newest().number if b is None else b)
        for key, (old, new) in changed.items():
            self.stdout.write(text.step(key, old, new))

    def _rollback(self, *, version: int, why: str, expected: int | None, **_options: Any) -> None:
        self._tell(service.rollback(version, by=operator(), why=why, expected=expected))

    def _export(self, **_options: Any) -> None:
        seen = text.picture()
        good = {key: given for key, given in seen.snapshot.texts.items() if key not in seen.snapshot.bad}
        self.stdout.write(json.dumps(good, indent=2, sort_keys=True, ensure_ascii=False))
        for trouble in [*seen.troubles, *(f"left out: {bad}" for bad in seen.snapshot.bad.values())]:
            self._warn(trouble)

    def _import(self, *, file: str, dry_run: bool, why: str, expected: int | None, **_options: Any) -> None:
        texts = _read(file)
        if not dry_run:
            self._tell(service.replace(texts, by=operator(), why=why, expected=expected))
            return
        check_all(texts)
        with database():
            changed = difference(newest().values, texts)
        for key, (old, new) in changed.items():
            self.stdout.write(f"would change {text.step(key, old, new)}")
        if not changed:
            self.stdout.write("nothing to change")

    def _watch(self, **_options: Any) -> None:
        for line in watch_lines(current.backend()):
            self.stdout.write(line)
            self.stdout.flush()

    def _change(
        self, changes: Mapping[str, str | None], *, why: str, expected: int | None, **_options: Any
    ) -> None:
        self._tell(service.change(changes, by=operator(), why=why, source="cli", expected=expected))

    def _tell(self, outcome: Outcome) -> None:
        if outcome.changed:
            done = f"version {outcome.version}: {text.steps(outcome.changed)}"
        else:
            done = f"version {outcome.version}: nothing to change"
        if not outcome.distributed:
            self.stdout.write(f"{done}; recorded")
            self._warn("it could not be told to the processes; they get it once that works again")
        elif not outcome.changed:
            self.stdout.write(done)
        else:
            self.stdout.write(f"{done}; {self._spread(outcome)}")

    def _spread(self, outcome: Outcome) -> str:
        """How far it came; meanwhile a count on a terminal."""
        spread = service.RolloutProgress(0, 0, 0.0, [])
        spreads = service.applied(outcome.version, outcome.stamp, SPREAD_SECONDS, outcome.told_at)
        try:
            for spread in spreads:
                if spread.waiting and self.stdout.isatty():
                    self.stdout.write(f"{CLEAR_LINE}{spread.applied} of {spread.processes}", ending="")
                    self.stdout.flush()
        except CouldNotAsk as error:
            return f"which processes have it is not known: {error}"
        finally:
            if self.stdout.isatty():
                self.stdout.write(CLEAR_LINE, ending="")
        if not spread.processes:
            return "no process is running"
        have = (
            f"applied by {spread.applied} of {spread.processes} processes in {spread.elapsed * 1000:.0f} ms"
        )
        return have + (f", waiting for {', '.join(spread.waiting)}" if spread.waiting else "")

    def _warn(self, what: str) -> None:
        self.stderr.write(f"warning: {what}", self.style.WARNING)


def _listing(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")


def _recording(parser: ArgumentParser) -> None:
    parser.add_argument("--why", default="", help="kept in the history")
    parser.add_argument(
        "--expect",
        type=int,
        dest="expected",
        metavar="VERSION",
        help="change nothing when there is a newer one",
    )


def _setting(parser: ArgumentParser) -> None:
    parser.add_argument("pairs", nargs="+", metavar="NAME VALUE", help="as symbolicate_max_jobs 20")
    parser.add_argument("--from", dest="start", metavar="TIME", help=f"only from then on: {FORMS} (UTC)")
    parser.add_argument(
        "--until", dest="end", metavar="TIME", help="only until then; a duration counts from the start"
    )
    _recording(parser)


def _unsetting(parser: ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="an option, or NAME@START/END as `config list --json` has it"
    )
    _recording(parser)


def _history(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of one option only")
    parser.add_argument("--limit", type=_count, default=50, help="how many changes (default %(default)s)")


def _diffing(parser: ArgumentParser) -> None:
    parser.add_argument("a", type=int, metavar="VERSION")
    parser.add_argument("b", type=int, nargs="?", metavar="VERSION", help="default: the newest")


def _rolling(parser: ArgumentParser) -> None:
    parser.add_argument("version", type=int, metavar="VERSION", help="0 is before anything was set")
    _recording(parser)


def _importing(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON from export, or - for standard input")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    _recording(parser)


def _keys(names: list[str], start: str | None, end: str | None) -> list[str]:
    if start is None and end is None:
        return names
    now = timezone.now().replace(microsecond=0)
    try:
        begin = moment(start, now) if start else now
        finish = moment(end, begin) if end else None
    except ArgumentTypeError as error:
        raise CommandError(str(error)) from None
    return [text.window_key(name, begin, finish) for name in names]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ArgumentTypeError(f"{text!r} should be a whole number")
    return int(text)


def _read(file: str) -> dict[str, str]:
    """Raises CommandError."""
    try:
        given = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}") from error
    if not isinstance(given, dict):
        raise CommandError(f"{file}: expected a JSON object, as `config export` prints it")
    return {key: at_text(value) for key, value in given.items()}
