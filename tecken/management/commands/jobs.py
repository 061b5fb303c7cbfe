"""Command `jobs`: inspect the queues, and retry or drop dead letters."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import redis
from django.core.management.base import CommandError

# Its import sets the current app, with which jobs are sent.
import tecken.celery  # noqa: F401
from tecken.errors import TeckenError
from tecken.jobs.records import Backlog, DeadLetter, backlog, records, send_again
from tecken.management.command import SiteCommand
from tecken.management.text import format_time
from tecken.redisclient import services as redis_services


class Command(SiteCommand):
    """Subcommands, one method each."""

    help = """Inspect the queues, and dead letters: jobs that run again only if you retry them.

  jobs queues
  jobs list
  jobs show 4f1c
  jobs retry 4f1c
  jobs drop --all

An id may be shortened as long as only one dead letter begins with it. All times are UTC."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser
        queues = add("queues", help="print waiting and running jobs, and the workers")
        listing = add("list", help="list dead letters, newest first")
        showing = add("show", help="print all details of a dead letter")
        for subcommand in (queues, listing, showing):
            subcommand.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        showing.add_argument("id", metavar="ID")
        _add_choice(add("retry", help="put dead letters back into their queues"))
        _add_choice(add("drop", help="delete dead letters"))

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand."""
        try:
            getattr(self, f"_{command}")(**options)
        except TeckenError as error:
            raise CommandError(str(error)) from error
        except redis.RedisError as error:
            raise CommandError(f"the queue does not answer: {error}") from error

    def _queues(self, *, as_json: bool, **_options: Any) -> None:
        state = backlog(redis_services.queue_client())
        self._print([_build_json(state)] if as_json else _backlog_lines(state), as_json)

    def _list(self, *, as_json: bool, **_options: Any) -> None:
        letters = records().letters()
        if as_json:
            self.stdout.write(json.dumps([asdict(letter) for letter in letters], indent=2))
            return
        for letter in letters:
            self.stdout.write(
                f"{letter.id}  {format_time(_time(letter.died))}  {letter.task}  {letter.why.splitlines()[0]}"
            )
        self.stdout.write(f"{len(letters):,} dead letter{'s' * (len(letters) != 1)}")

    def _show(self, *, id: str, as_json: bool, **_options: Any) -> None:
        letter = _find_letter(id)
        self._print([asdict(letter)] if as_json else _letter_lines(letter), as_json)

    def _retry(self, **options: Any) -> None:
        letters = _choose(**options)
        for letter in letters:
            send_again(letter, records())
        self.stdout.write(f"{len(letters):,} put back")

    def _drop(self, **options: Any) -> None:
        self.stdout.write(f"{records().drop([letter.id for letter in _choose(**options)]):,} dropped")

    def _print(self, lines: Any, as_json: bool) -> None:
        for line in lines:
            self.stdout.write(json.dumps(line, indent=2) if as_json else line)


def _add_choice(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--all", action="store_true", dest="every", help="all dead letters")
    parser.add_argument("--task", help="only those of this task")


def _choose(*, ids: list[str], every: bool, task: str | None, **_options: Any) -> list[DeadLetter]:
    """Return the dead letters that the arguments name.

    Raises:
        CommandError: The arguments name none, or one id is not clear.
    """
    if bool(ids) == every:
        raise CommandError("expected one ID or more, or --all")
    letters = records().letters() if every else [_find_letter(id) for id in ids]
    return [letter for letter in letters if task in (None, letter.task)]


def _find_letter(start: str) -> DeadLetter:
    """Return the only dead letter whose id begins with `start`, or is `start`.

    Raises:
        CommandError: There is none, or more than one.
    """
    exact = records().letter(start)
    matches = [exact] if exact else [letter for letter in records().letters() if letter.id.startswith(start)]
    if len(matches) != 1:
        problem = f"{len(matches)} dead letters begin with" if matches else "there is no dead letter"
        raise CommandError(f"{problem} {start}")
    return matches[0]


def _backlog_lines(state: Backlog) -> Iterator[str]:
    yield f"{'queue':14}{'ready':>9}{'urgent':>9}{'oldest':>10}{'canary':>10}{'seen':>10}"
    for queue in state.queues:
        ages = (queue.oldest_seconds, queue.canary_seconds, queue.canary_age)
        yield f"{queue.name:14}{queue.ready:>9,}{queue.by_priority[0]:>9,}{''.join(map(_seconds, ages))}"
    yield f"with workers  {state.unacknowledged:>9,}{'':9}{_seconds(state.oldest_unacknowledged_seconds)}"
    yield f"dead letters  {state.dead:>9,}"
    yield f"scheduled     {state.scheduled:>9,}"
    yield f"beat          {'running' if state.beat else 'none':>9}"
    for worker in state.workers:
        activity = f"{worker.running} running of {worker.held}" if worker.alive else "silent"
        yield f"worker {worker.name}: {activity}, heard {worker.heard:.0f} s ago, {' '.join(worker.queues)}"
    if not state.workers:
        yield "no worker"


def _seconds(age: float | None) -> str:
    return f"{'-' if age is None else f'{age:,.1f} s':>10}"


def _build_json(state: Backlog) -> dict[str, Any]:
    return {
        **state._asdict(),
        "depth": state.depth,
        "queues": [queue._asdict() for queue in state.queues],
        "workers": [{**worker._asdict(), "alive": worker.alive} for worker in state.workers],
    }


def _letter_lines(letter: DeadLetter) -> Iterator[str]:
    yield f"id       {letter.id}"
    yield f"task     {letter.task}"
    yield f"args     {json.dumps(letter.args)}"
    if letter.kwargs:
        yield f"kwargs   {json.dumps(letter.kwargs)}"
    yield f"queue    {letter.queue}"
    yield f"sent     {format_time(_time(letter.sent))}"
    yield f"died     {format_time(_time(letter.died))}"
    yield f"starts   {letter.starts}, after {letter.retries} retries"
    yield f"why      {letter.why}"
    if letter.trace:
        yield letter.trace.rstrip()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
