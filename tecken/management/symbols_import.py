"""Subcommand `symbols import`: its options, the plan and the progress that it prints, and its exit status.

The exit status is 0 when nothing failed, 1 when some objects failed or differ, and 75 when a server did not
answer, so that the same command continues later.
"""

from __future__ import annotations

import heapq
import json
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TextIO

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, OutputWrapper
from tqdm import tqdm

from tecken.errors import InvalidInput, Unavailable
from tecken.management.commands.createtoken import find_user
from tecken.management.text import size
from tecken.runtimeconfig.current import options as live_options
from tecken.storage.listing import ListedPlace
from tecken.storage.port import FetchLimits
from tecken.symbolication.services import inline_conversion
from tecken.symbols.ids import ObjectId
from tecken.upload.import_check import ImportCheck
from tecken.upload.import_layouts import LAYOUTS
from tecken.upload.import_reader import ObjectReader
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import ORIGIN_FIELDS, parse_origin
from tecken.upload.resolved import modules_of
from tecken.upload.symstore import FileProblem, SymbolStore
from tecken.upload.symstore_import import Counts, StoreImport
from tecken.upload.tree_import import ImportPlan, ImportRules, TreeImport

SYMSTORE: Final = "symstore"
TRY_AGAIN: Final = 75
# Problems that are printed; the report has all.
MAX_PRINTED: Final = 20
# A file of gigabytes may take as long as this from a slow place.
READ_SECONDS: Final = 3600.0


def add_arguments(commands: Any) -> None:
    """Add the subcommand."""
    add = commands.add_parser(
        "import",
        help="import the files of a symbol store, directory or bucket",
        description="Store the files of a directory or bucket. A second run stores only what is missing, so "
        "that an import can be interrupted. Nothing is converted before it is requested.",
    )
    add.add_argument("source", metavar="SOURCE", help="directory, or file://, s3://, gs:// or az:// URL")
    add.add_argument("--user", metavar="EMAIL", required=True, help="user that the uploads belong to")
    add.add_argument(
        "--layout",
        choices=(SYMSTORE, *LAYOUTS),
        default=SYMSTORE,
        help="layout of the source (default %(default)s: a directory with 000Admin)",
    )
    add.add_argument("--try", dest="try_symbols", action="store_true", help="import as files of try builds")
    for name in ORIGIN_FIELDS:
        add.add_argument(f"--{name}", default="", help=f"{name} of the uploads; default: none")
    add.add_argument("--dry-run", action="store_true", help="print the plan and store nothing")
    _add_tree_arguments(add.add_argument_group("all layouts but symstore"))


def _add_tree_arguments(add: Any) -> None:
    add.add_argument("--since", type=_parse_date, metavar="DATE", help="only objects written since this date")
    add.add_argument("--limit", type=int, default=0, metavar="N", help="store at most N objects in this run")
    add.add_argument("--threads", type=_parse_threads, default=4, metavar="N", help="default %(default)s")
    add.add_argument(
        "--max-rate", type=float, default=0.0, metavar="MB", help="read at most so many MB per second"
    )
    add.add_argument(
        "--dates",
        choices=("original", "today"),
        default="original",
        help="dates of the files, from which retention counts (default: those of the objects)",
    )
    add.add_argument("--report", type=Path, metavar="FILE", help="write a JSON line for each problem")
    add.add_argument(
        "--verify", action="store_true", help="compare the source with what is stored; store nothing"
    )
    add.add_argument(
        "--convert",
        type=int,
        default=0,
        metavar="N",
        help="afterwards convert the N most requested modules that were missing before",
    )


def _parse_date(text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} should be a date such as 2026-11-21") from None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _parse_threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ArgumentTypeError("expected a number from 1 to 64")
    return int(text)


class SymbolsImport:
    """Run of the subcommand."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, options: Mapping[str, Any]) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._options = options
        self._problems = 0
        self._report_file: TextIO | None = None

    def run(self) -> None:
        """Import, print a plan or compare. Raises CommandError."""
        try:
            if self._options["layout"] == SYMSTORE:
                self._import_store()
            else:
                with self._open_report():
                    self._import_tree()
        except Unavailable as error:
            raise CommandError(f"{error}; run the command again to continue", returncode=TRY_AGAIN) from error
        except (InvalidInput, OSError) as error:
            raise CommandError(str(error)) from error

    def _print(self, line: str) -> None:
        with tqdm.external_write_mode():
            self._stdout.write(line)

    # A directory of symstore

    def _import_store(self) -> None:
        totals, dry_run = Counts(), self._options["dry_run"]
        if "://" in self._options["source"]:
            raise CommandError(
                "a store with its transactions is a directory; for a bucket use --layout symsrv"
            )
        with tqdm(unit="B", unit_scale=True, leave=False, disable=None) as progress:
            store = SymbolStore(Path(self._options["source"]))
            run = StoreImport(
                store,
                find_user(self._options["user"]),
                try_symbols=self._options["try_symbols"],
                report=self._report_file_problem,
                progress=progress.update,
                origin=parse_origin(self._options),
            )
            for transaction in store.transactions():
                counts = run.check(transaction) if dry_run else run.run(transaction)
                totals = Counts(*map(sum, zip(totals, counts, strict=True)))
                self._print(f"{transaction.title}: {_describe(counts, dry_run)}")
        summary = f"all transactions: {_describe(totals, dry_run)}"
        if totals.failed:
            raise CommandError(summary)
        self._stdout.write(summary)

    def _report_file_problem(self, problem: FileProblem) -> None:
        with tqdm.external_write_mode():
            self._stderr.write(f"skipped {problem.name}: {problem.reason}")

    # All other layouts

    def _import_tree(self) -> None:
        place = ListedPlace.parse(self._options["source"], _limits)
        user, rules = find_user(self._options["user"]), self._rules()
        plan = self._plan(place, user, rules)
        self._print_plan(plan)
        if self._options["dry_run"]:
            return
        with tqdm(total=plan.total_bytes, unit="B", unit_scale=True, leave=False, disable=None) as progress:
            run = TreeImport(place, user, rules, report=self._report, progress=progress.update)
            checked = None
            if self._options["verify"]:
                reader = ObjectReader(place, rules.bytes_per_second)
                checked = ImportCheck(run, reader, self._report).run()
            else:
                run.run()
        if checked is None and self._options["convert"]:
            self._convert(user)
        failed = checked.missing + checked.different if checked else run.counts.failed
        summary = str(checked or run.counts)
        self._print_hidden()
        if failed:
            raise CommandError(summary)
        self._stdout.write(summary)

    def _rules(self) -> ImportRules:
        options = self._options
        return ImportRules(
            options["layout"],
            try_symbols=options["try_symbols"],
            since=options["since"],
            keep_dates=options["dates"] == "original",
            limit=options["limit"],
            threads=options["threads"],
            bytes_per_second=options["max_rate"] * 1e6,
            origin=parse_origin(options),
        )

    def _plan(self, place: ListedPlace, user: User, rules: ImportRules) -> ImportPlan:
        with tqdm(unit=" objects", leave=False, disable=None, desc="listing") as progress:
            run = TreeImport(place, user, rules, report=_no_report, progress=progress.update)
            is_dry = self._options["dry_run"]
            return run.plan(count_present=is_dry, report=self._report if is_dry else _no_report)

    def _print_plan(self, plan: ImportPlan) -> None:
        for kind, count in plan.objects.most_common():
            self._print(f"{kind}: {count:,} objects, {size(plan.bytes[kind])}")
        for reason, count in plan.ignored.most_common():
            self._print(f"ignored, {reason}: {count:,} objects")
        if self._options["dry_run"]:
            total = plan.objects.total()
            self._print(f"all: {total:,} objects, {size(plan.total_bytes)}; {plan.present:,} already there")

    def _convert(self, user: User) -> None:
        """Convert the modules of imports that were requested most while they were missing."""
        uploads = Upload.objects.filter(user=user, protocol=Protocol.IMPORT, resolved_modules__gt=0)
        modules = chain.from_iterable(map(modules_of, uploads.only("resolved").iterator()))
        chosen = heapq.nlargest(self._options["convert"], modules, key=attrgetter("requests"))
        for found in tqdm(chosen, unit=" modules", leave=False, disable=None, desc="converting"):
            module = ObjectId(found.debug_file, found.debug_id)
            deadline = time.monotonic() + settings.CONVERT_TIME_LIMIT_SECONDS
            failure = inline_conversion().convert_and_wait([module], deadline).get(module)
            reason = getattr(failure, "reason", None) or failure
            self._print(f"{module}: {reason or f'converted, requested {found.requests:,} times'}")

    # Problems

    @contextmanager
    def _open_report(self) -> Iterator[None]:
        if self._options["report"] is None:
            yield
            return
        with self._options["report"].open("w") as self._report_file:
            yield

    def _report(self, path: str, kind: str, reason: str) -> None:
        """Write a problem to the report, and print a failure unless there were many."""
        if self._report_file:
            line = json.dumps({"path": path, "result": kind, "reason": reason})
            self._report_file.write(f"{line}\n")
        if kind == "failed":
            self._problems += 1
            if self._problems <= MAX_PRINTED:
                with tqdm.external_write_mode():
                    self._stderr.write(f"failed {path}: {reason}")

    def _print_hidden(self) -> None:
        if self._problems > MAX_PRINTED:
            more = self._problems - MAX_PRINTED
            self._stderr.write(f"{more:,} more failed: --report FILE has all")


def _no_report(_path: str, _kind: str, _reason: str) -> None:
    """Discard a problem that another pass reports."""


def _limits() -> FetchLimits:
    current = live_options()
    return FetchLimits(current.source_timeout_seconds, READ_SECONDS, current.symbol_max_bytes)


def _describe(counts: Counts, dry_run: bool) -> str:
    text = str(counts)
    return text.replace("stored", "to store", 1) if dry_run else text
