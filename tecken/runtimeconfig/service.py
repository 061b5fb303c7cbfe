"""Changes of the runtime configuration, for the command line, the API, the page and the watchers.

The database is written first: its versions, with their authors, are the order of all changes, and have
precedence over the backend. The backend, which every process reads, then gets the newest one. `reconcile`
repairs what was lost in between, and adopts changes by hand.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Required, TypedDict, Unpack
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import Max, Q, QuerySet

from tecken.errors import Conflict, InvalidInput, NotFound, Unavailable
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Change, Level, Maintenance, format_maintenance
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.models import Change as RecordedChange
from tecken.runtimeconfig.models import Difference, TextChange, Version
from tecken.runtimeconfig.option import replace_unstorable, shorten
from tecken.runtimeconfig.snapshot import Snapshot, check_all, list_processes, parse_entry

logger = logging.getLogger(__name__)
Texts = Mapping[str, str]
TextsChange = Callable[[Texts], Texts]


class Author(TypedDict, total=False):
    """Origin of a version."""

    by: Required[str]
    user: User | None
    why: str
    source: str


@contextmanager
def database() -> Iterator[None]:
    """Raise Unavailable when the database does not answer, and close a connection that was opened inside.

    Watcher threads live as long as the process; each would otherwise keep a connection for ever.
    """
    was_open = connection.connection is not None
    try:
        yield
    except Error as error:
        raise Unavailable("the database does not answer, or `migrate` was not run") from error
    finally:
        if not was_open:
            connection.close()


def difference(old: Texts, new: Texts) -> Difference:
    """Return the entries that differ. None: not set."""
    entries = [entry for entry in sorted({*old, *new}) if old.get(entry) != new.get(entry)]
    return {entry: TextChange(old.get(entry), new.get(entry)) for entry in entries}


def merge(texts: Texts, changes: Mapping[str, str | None]) -> Texts:
    """Return the texts after changes; None unsets an entry."""
    return {key: text for key, text in {**texts, **changes}.items() if text is not None}


def newest() -> Version:
    """Return the newest version; number 0 without values when there is none yet."""
    return Version.objects.first() or Version(number=0)


def find_version(number: int) -> Version:
    """Return a version. Raises NotFound."""
    version = Version.objects.filter(number=number).first()
    if version is None:
        raise NotFound(f"There is no version {number}")
    return version


def find_texts(number: int) -> dict[str, str]:
    """Return the texts of a version; 0 is the state before the first one. Raises NotFound."""
    version = Version.objects.filter(number=number).first()
    if version is None and number != 0:
        raise NotFound(f"there is no version {number}; the newest is {newest().number}")
    return dict(version.values) if version else {}


def find_changes(option: str | None = None) -> QuerySet[RecordedChange]:
    """Return changes, newest first: all of them, or those of an option and its windows."""
    changes = RecordedChange.objects.select_related("version", "version__user")
    return changes.filter(Q(entry=option) | Q(entry__startswith=f"{option}@")) if option else changes


def find_last_changes() -> dict[str, RecordedChange]:
    """Return the newest change of each entry that was ever set."""
    newest = RecordedChange.objects.order_by().values("entry").annotate(newest=Max("pk")).values("newest")
    changes = RecordedChange.objects.filter(pk__in=newest).select_related("version")
    return {change.entry: change for change in changes}


def append(
    author: Author, change: TextsChange, *, expected: int | None = None, **identity: Any
) -> tuple[Version, Difference]:
    """Add a version with `change` of the newest texts, unless nothing changes and it needs no `identity`.

    `identity`: its number and stamp. Raises Conflict when `expected` is not the newest version, or another
    writer was faster: the unique number lets only one of two concurrent transactions commit.
    """
    try:
        # Durable: the version is committed on return, before the backend distributes it. An outer transaction
        # that is rolled back later would leave processes with a version that never existed.
        with transaction.atomic(durable=True):
            last = newest()
            values = dict(sorted(change(last.values).items()))
            if expected not in (None, last.number):
                raise Conflict(_describe_conflict(last, expected))
            changed = difference(last.values, values)
            if not changed and not identity:
                return last, changed
            identity = {"number": last.number + 1, "stamp": uuid4().hex} | identity
            version = Version.objects.create(values=values, **author, **identity)
            RecordedChange.objects.bulk_create(
                RecordedChange(version=version, entry=entry, old=old, new=new)
                for entry, (old, new) in changed.items()
            )
            return version, changed
    except IntegrityError:
        raise Conflict(_describe_conflict(newest())) from None


def _describe_conflict(last: Version, expected: int | None = None) -> str:
    entries = ", ".join(last.changed) or "nothing yet"
    number = f"the newest version is {last.number}" + ("" if expected is None else f", not {expected}")
    author = f", by {last.author} at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last.pk else ""
    return f"{number}{author}: {entries}. Look again, then change."


# Changes

# Characters.
LONGEST_REASON = 2000
# After as many conflicts another process has reconciled.
ATTEMPTS = 5
# Seconds between two reads of the reports.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1


class Outcome(NamedTuple):
    """Result of a change. `changed` is empty when all texts were the same.

    `distributed` False: recorded, but the backend did not answer; a watcher or beat delivers it later.
    `sent_at`: time.monotonic() before the backend was written.
    """

    version: int
    stamp: str
    changed: Difference
    distributed: bool
    sent_at: float


class RolloutProgress(NamedTuple):
    """Number of processes that have a version after `elapsed` seconds; `waiting` ones do not."""

    applied: int
    processes: int
    elapsed: float
    waiting: list[str]

    def __str__(self) -> str:
        processes = f"{self.applied} of {self.processes} processes"
        return f"applied by {processes} in {self.elapsed * 1000:.0f} ms"


def change(
    changes: Mapping[str, str | None], *, expected: int | None = None, **author: Unpack[Author]
) -> Outcome:
    """Record all changes (None unsets) in one version, or none of them.

    Raises BadOption, which names every problem; Conflict when the newest version is not `expected`, or when
    another writer was faster; Unavailable when the database does not answer.
    """

    def merge_changes(texts: Texts) -> Texts:
        check_all(changes, existing=texts)
        return merge(texts, {key if key in texts else parse_entry(key).key: changes[key] for key in changes})

    return _record(author, merge_changes, expected)


def replace(texts: Texts, *, expected: int | None = None, **author: Unpack[Author]) -> Outcome:
    """Set these texts and unset all others. Raises as `change` does."""
    check_all(texts)
    author.setdefault("source", "import")
    return _record(author, lambda _: {parse_entry(key).key: text for key, text in texts.items()}, expected)


def rollback(number: int, *, expected: int | None = None, **author: Unpack[Author]) -> Outcome:
    """Record a version with the texts of an old one, except those that this code cannot use.

    Raises NotFound, Conflict and Unavailable.
    """
    author["why"] = author.get("why") or f"back to version {number}"
    author.setdefault("source", "rollback")
    with database():
        texts = find_texts(number)
    bad = Snapshot(number, "", texts).bad
    usable = {key: text for key, text in texts.items() if key not in bad}
    return replace(usable, expected=expected, **author)


def reconcile() -> bool:
    """Bring backend and database into agreement. Safe in many processes at once: one of them does it.

    Return False, after a line in the log, when one of them does not answer; call it again then.
    """
    reason: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            with database():
                _reconcile_once()
        except Conflict as error:
            reason = error
        except Unavailable as error:
            reason = error
            break
        else:
            return True
    cause = reason and reason.__cause__
    logger.warning("Configuration not compared with the database: %s (%s)", reason, cause)
    return False


def wait_for_rollout(outcome: Outcome, seconds: float) -> RolloutProgress:
    """Wait until every process has the version or a newer one, or `seconds` since the write are over.

    Processes of commands do not count. Raises Unavailable.
    """
    pause = FIRST_PAUSE
    while True:
        processes = list_processes(current.backend().reports(), outcome.version, outcome.stamp)
        waiting = [report.process for report, has_applied in processes if not has_applied]
        elapsed = time.monotonic() - outcome.sent_at
        if not waiting or elapsed >= seconds:
            return RolloutProgress(len(processes) - len(waiting), len(processes), elapsed, waiting)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def begin_maintenance(
    level: Level, message: str, retry_after: float | None, until: datetime | None, by: str
) -> None:
    """Begin maintenance, without the database. Raises InvalidInput and Unavailable."""
    now = datetime.now(UTC)
    if until is not None and until <= now:
        raise InvalidInput(f"maintenance should end in the future, not at {until:%Y-%m-%d %H:%M:%S} UTC")
    text = format_maintenance(Maintenance(replace_unstorable(message), retry_after, until, by, now))
    current.backend().set_maintenance(level, text, until)
    logger.warning("Maintenance (%s) begun by %s", level, by)


def end_maintenance(level: Level) -> None:
    """End maintenance, without the database. Raises Unavailable."""
    current.backend().set_maintenance(level, None, None)
    logger.warning("Maintenance (%s) ended", level)


def _record(author: Author, change: TextsChange, expected: int | None) -> Outcome:
    reason = author.get("why", "")
    # Subscribers get the reason with each change, so it is short.
    if len(reason) > LONGEST_REASON:
        raise InvalidInput(f"a reason should have at most {LONGEST_REASON} characters, not {len(reason)}")
    if reason != replace_unstorable(reason):
        raise InvalidInput(f"the reason {shorten(reason)!r} has characters that a database cannot store")
    with database():
        # Changes by hand are recorded first, so that this one is compared with the values in force.
        reconcile()
        version, changed = append(author, change, expected=expected)
        sent_at = time.monotonic()
        # Errors of the database count as well: a change that is recorded must not be reported as failed.
        is_distributed = reconcile()
        if not is_distributed:
            current.reconcile_soon()
        return Outcome(version.number, version.stamp, changed, is_distributed, sent_at)


def _reconcile_once() -> None:
    # The backend is read before the database. In the other order a version that is recorded between the two
    # reads would appear as one that the database has lost.
    found, last = current.backend().read(), newest()
    if (found.version, found.stamp) == (last.number, last.stamp) and found.texts == last.values:
        return
    base: Version | None = Version(number=0)
    if found.stamp:
        base = Version.objects.filter(number=found.version, stamp=found.stamp).first()
    elif found.version:
        base = Version.objects.filter(number__lt=found.version).first() or base
    # Redis can hold any bytes, and the database cannot.
    texts = {replace_unstorable(key): replace_unstorable(text) for key, text in found.texts.items()}
    if base is None and found.version > last.number:
        changed = difference(last.values, texts)
        identity = {"number": found.version, "stamp": found.stamp}
        _adopt(changed, last, "the database had lost it", by="unknown", source="redis", **identity)
        return
    source, by_hand = "refill", difference(base.values, texts) if base else {}
    if by_hand:
        if current.backend().read() != found:
            raise Conflict("another process adopted the change after the backend was read")
        is_file = isinstance(current.backend(), FileBackend)
        by, source = ("an editor", "file") if is_file else ("redis-cli", "redis")
        last = _adopt(by_hand, last, "changed by hand", by=by, source=source)
    if last.number:
        change = Change(last.number, last.stamp, last.by, last.why, last.at.isoformat(), source)
        current.backend().write(change, last.values, expected=found.version)


def _adopt(
    changed: Difference, last: Version, reason: str, *, by: str, source: str, **identity: Any
) -> Version:
    """Record changes that were found in the backend, also unusable ones, with why those are ignored."""
    changes = {key: new for key, (_old, new) in changed.items()}
    bad = Snapshot(0, "", merge({}, changes)).bad
    author = Author(by=by, why="; ".join([reason, *(f"ignored: {bad[key]}" for key in bad)]), source=source)
    version, adopted = append(author, lambda texts: merge(texts, changes), expected=last.number, **identity)
    if adopted:
        logger.warning("Version %d recorded: %s: %s", version.number, ", ".join(adopted), reason)
    return version
