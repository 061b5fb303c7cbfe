from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken.errors import TeckenError
from tecken.jobs.backlog import Backlog, backlog
from tecken.jobs.dead_letters import send_again
from tecken.jobs.records import DeadLetter, records
from tecken.management.times import shown
from tecken.redisclient import services as redis_services


class Command(BaseCommand):
    help = """Look at the queues, and at dead letters: jobs that nothing will run again unless you say so.

  jobs queues
  jobs list
  jobs show 4f1c
  jobs retry 4f1c
  jobs drop --all

An id may be cut short where that names one letter only. All times are UTC."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser
        queues = add("queues", help="what waits, what runs, and which workers are there")
        listing = add("list", help="dead letters, newest first")
        showing = add("show", help="all that is known of one")
        for each in (queues, listing, showing):
            each.add_argument("--json", action="store_true", dest="as_json", help="for programs")
        showing.add_argument("id", metavar="ID")
        _choosing(add("retry", help="put it back into its queue"))
        _choosing(add("drop", help="forget it"))

    def handle(self, *, command: str, **options: Any) -> None:
        try:
            getattr(self, f"_{command}")(**options)
        except TeckenError as error:
            raise CommandError(str(error)) from error
        except redis.RedisError as error:
            raise CommandError(f"the queue does not answer: {error}") from error

    def _queues(self, *, as_json: bool, **_options: Any) -> None:
        seen = backlog(redis_services.queue_client())
        self._print([_backlog_json(seen)] if as_json else _backlog_lines(seen), as_json)

    def _list(self, *, as_json: bool, **_options: Any) -> None:
        letters = records().letters()
        if as_json:
            self.stdout.write(json.dumps([asdict(letter) for letter in letters], indent=2))
            return
        for letter in letters:
            self.stdout.write(
                f"{letter.id}  {shown(_time(letter.died))}  {letter.task}  {letter.why.splitlines()[0]}"
            )
        self.stdout.write(f"{len(letters):,} dead letter{'s' * (len(letters) != 1)}")

    def _show(self, *, id: str, as_json: bool, **_options: Any) -> None:
        letter = _named(id)
        self._print([asdict(letter)] if as_json else _letter_lines(letter), as_json)

    def _retry(self, **options: Any) -> None:
        letters = _chosen(**options)
        for letter in letters:
            send_again(letter, records())
        self.stdout.write(f"{len(letters):,} put back")

    def _drop(self, **options: Any) -> None:
        self.stdout.write(f"{records().drop([letter.id for letter in _chosen(**options)]):,} dropped")

    def _print(self, what: Any, as_json: bool) -> None:
        for line in what:
            self.stdout.write(json.dumps(line, indent=2) if as_json else line)


def _choosing(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--all", action="store_true", dest="every", help="all there are")
    parser.add_argument("--task", help="of those only the ones of this task")


def _chosen(*, ids: list[str], every: bool, task: str | None, **_options: Any) -> list[DeadLetter]:
    """Raises CommandError."""
    if bool(ids) == every:
        raise CommandError("say which: one ID or more, or --all")
    letters = records().letters() if every else [_named(one) for one in ids]
    return [letter for letter in letters if task in (None, letter.task)]


def _named(start: str) -> DeadLetter:
    """Raises CommandError."""
    whole = records().letter(start)
    found = [whole] if whole else [one for one in records().letters() if one.id.startswith(start)]
    if len(found) != 1:
        many = f"{len(found)} dead letters begin with" if found else "there is no dead letter"
        raise CommandError(f"{many} {start}")
    return found[0]


def _backlog_lines(seen: Backlog) -> Iterator[str]:
    yield f"{'queue':14}{'ready':>9}{'urgent':>9}{'oldest':>10}{'canary':>10}{'seen':>10}"
    for queue in seen.queues:
        ages = (queue.oldest_seconds, queue.canary_seconds, queue.canary_age)
        yield f"{queue.name:14}{queue.ready:>9,}{queue.by_priority[0]:>9,}{''.join(map(_seconds, ages))}"
    yield f"with workers  {seen.unacknowledged:>9,}{'':9}{_seconds(seen.oldest_unacknowledged_seconds)}"
    yield f"dead letters  {seen.dead:>9,}"
    yield f"scheduled     {seen.scheduled:>9,}"
    yield f"beat          {'running' if seen.beat else 'none':>9}"
    for worker in seen.workers:
        state = f"{worker.running} running of {worker.held}" if worker.alive else "silent"
        yield f"worker {worker.name}: {state}, heard {worker.heard:.0f} s ago, {' '.join(worker.queues)}"
    if not seen.workers:
        yield "no worker"


def _seconds(age: float | None) -> str:
    return f"{'-' if age is None else f'{age:,.1f} s':>10}"


def _backlog_json(seen: Backlog) -> dict[str, Any]:
    return {
        **seen._asdict(),
        "depth": seen.depth,
        "queues": [queue._asdict() for queue in seen.queues],
        "workers": [{**worker._asdict(), "alive": worker.alive} for worker in seen.workers],
    }


def _letter_lines(letter: DeadLetter) -> Iterator[str]:
    yield f"id       {letter.id}"
    yield f"task     {letter.task}"
    yield f"args     {json.dumps(letter.args)}"
    if letter.kwargs:
        yield f"kwargs   {json.dumps(letter.kwargs)}"
    yield f"queue    {letter.queue}"
    yield f"sent     {shown(_time(letter.sent))}"
    yield f"died     {shown(_time(letter.died))}"
    yield f"starts   {letter.starts}, after {letter.retries} retries"
    yield f"why      {letter.why}"
    if letter.trace:
        yield letter.trace.rstrip()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
