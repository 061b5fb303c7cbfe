"""Changing the runtime configuration: what the command line, the API, the page and the watchers do.

The database is asked first and commits first: its versions are the order of all changes. The backend, which
every process reads, then gets the newest one. Whatever was lost between the two, or was changed in the backend
by hand, `reconcile` settles.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import QuerySet

from tecken.errors import BadInput, BadOption, Conflict, CouldNotAsk
from tecken.runtimeconfig import backend, current
from tecken.runtimeconfig import history as kept
from tecken.runtimeconfig.backend import Level, Values
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.history import Author, Difference, Texts, database, difference
from tecken.runtimeconfig.maintenance import Maintenance, show
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.option import cut
from tecken.runtimeconfig.schedule import entry, spelt
from tecken.runtimeconfig.snapshot import check_all, snapshot

logger = logging.getLogger(__name__)
LONGEST_REASON = 2000  # characters
TRIES = 5  # whoever was faster five times has settled it
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1  # seconds between two looks at the reports


class Outcome(NamedTuple):
    """`changed` is empty when there was nothing to change. `distributed` False: recorded, but the backend did
    not answer; a watcher or beat delivers it later. `told_at`: time.monotonic() before the backend was told."""

    version: int
    stamp: str
    changed: Mapping[str, tuple[str | None, str | None]]
    distributed: bool
    told_at: float


class RolloutProgress(NamedTuple):
    """How far a version has come, after `elapsed` seconds. `waiting`: processes (host:pid) without it."""

    applied: int
    processes: int
    elapsed: float
    waiting: list[str]


def change(
    changes: Mapping[str, str | None],
    *,
    by: str,
    user: User | None = None,
    why: str = "",
    source: str,
    expected: int | None = None,
) -> Outcome:
    """All of `changes` (None unsets) in one version, or none of them.

    Raises BadOption, which names every problem; Conflict when the newest version is not `expected`, or when
    somebody else was first; CouldNotAsk when the database does not answer.
    """
    if None not in changes.values():
        _check(changes)  # before anything is asked
    with database():
        _settle_if_it_answers()
        _check(changes, there=kept.newest().values)
        made = kept.append(
            Author(by, user, _reason(why), source), lambda texts: _with(texts, changes), expected=expected
        )
        return _outcome(*made)


def rollback(
    to: int,
    *,
    by: str,
    user: User | None = None,
    why: str = "",
    source: str = "rollback",
    expected: int | None = None,
) -> Outcome:
    """A new version with the values of version TO, but for those that this code cannot use: they do nothing.

    Raises Absent, Conflict and CouldNotAsk.
    """
    with database():
        texts = kept.texts(to)
        bad = snapshot(to, "", texts).bad
        usable = {key: text for key, text in texts.items() if key not in bad}
        why = why or f"back to version {to}"
        return replace(usable, by=by, user=user, why=why, source=source, expected=expected)


def replace(
    texts: Texts,
    *,
    by: str,
    user: User | None = None,
    why: str = "",
    source: str = "import",
    expected: int | None = None,
) -> Outcome:
    """`texts` and nothing else is set. Raises as `change` does."""
    _check(texts)
    with database():
        _settle_if_it_answers()
        author = Author(by, user, _reason(why), source)
        made = kept.append(author, lambda _: _with({}, texts), expected=expected)
        return _outcome(*made)


def history(option: str | None = None) -> QuerySet[Change]:
    """Newest first, of all options or one and what is scheduled for it."""
    return kept.changes(option)


def at(version: int) -> Texts:
    """What was set; 0 is before the first version. Raises Absent."""
    return kept.texts(version)


def diff(a: int, b: int) -> Difference:
    """Old and new text of each entry that differs. Raises Absent."""
    return difference(at(a), at(b))


def reconcile() -> None:
    """Adopts what was changed by hand, refills what was lost: many processes may, and one does. When the
    database or the backend is away it says so in the log, and whoever calls next tries again."""
    try:
        with database():
            _settle()
    except CouldNotAsk as error:
        logger.warning(
            "the runtime configuration was not compared with the database: %s (%s)", error, error.__cause__
        )


def applied(
    version: int, stamp: str, seconds: float, told_at: float | None = None
) -> Iterator[RolloutProgress]:
    """Again and again until every process has it, or a newer one, or `seconds` are over. A command's process
    does not count. `elapsed` is since `told_at`, an Outcome's. Raises CouldNotAsk."""
    start, pause = time.monotonic() if told_at is None else told_at, FIRST_PAUSE
    while True:
        now = _spread(version, stamp, time.monotonic() - start)
        yield now
        if not now.waiting or now.elapsed >= seconds:
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def begin_maintenance(
    level: Level, message: str, retry_after: float | None, until: datetime | None, by: str
) -> None:
    """Needs no database. `until` None: until `end_maintenance`. Raises BadInput and CouldNotAsk."""
    now = datetime.now(UTC)
    if until is not None and until <= now:
        raise BadInput(f"maintenance should end in the future, not at {until:%Y-%m-%d %H:%M:%S} UTC")
    text = show(Maintenance(message, retry_after, until, by, now))
    current.backend().set_maintenance(level, text, until)
    logger.warning("maintenance (%s) begun by %s", level, by)


def end_maintenance(level: Level) -> None:
    """Needs no database. Raises CouldNotAsk."""
    current.backend().set_maintenance(level, None, None)
    logger.warning("maintenance (%s) ended", level)


def _check(changes: Mapping[str, str | None], there: Collection[str] = ()) -> None:
    check_all(changes, there)
    for key, text in changes.items():
        if text is not None and text != _storable(text):
            raise BadOption(f"{key}: no database keeps {cut(text)!r}")


def _with(texts: Texts, changes: Mapping[str, str | None]) -> Texts:
    """`texts` after `changes`. An instant may be written in many ways: each window has one entry."""
    return _merged(texts, {key if key in texts else spelt(entry(key)): new for key, new in changes.items()})


def _outcome(made: Version, changed: Difference) -> Outcome:
    told_at = time.monotonic()
    return Outcome(made.number, made.stamp, changed, _settle_if_it_answers(), told_at)


def _settle_if_it_answers() -> bool:
    try:
        _settle()
    except CouldNotAsk as error:
        logger.warning(
            "the runtime configuration was recorded and not delivered: %s (%s)", error, error.__cause__
        )
        current.settle_soon()
        return False
    return True


def _settle() -> None:
    """ConfigBackend and database say the same afterwards."""
    for _ in range(TRIES):
        try:
            _settle_once()
        except Conflict:
            continue
        return
    raise CouldNotAsk(f"others changed it {TRIES} times meanwhile")


def _settle_once() -> None:
    there = current.backend().read()  # before the database: what it then knows nothing of, it has lost
    last = kept.newest()
    if (there.version, there.stamp) == (last.number, last.stamp) and there.texts == last.values:
        return
    base = _base(there)
    if base is None and there.version > last.number:
        _recover(there, last)
        return
    by_hand = difference(base.values, _clean(there.texts)) if base else {}
    if by_hand:
        last = _adopt(by_hand, there, last)
    if last.number:
        current.backend().write(_told(last, refill=not by_hand), last.values, expected=there.version)


def _base(there: Values) -> Version | None:
    """The version that somebody may have changed by hand; None when it is one that the database never had."""
    return kept.known(there.version, there.stamp) if there.stamp else kept.before(there.version)


def _adopt(by_hand: Difference, there: Values, last: Version) -> Version:
    """What was changed by hand, as a version. What cannot be used is recorded too, and said to be ignored."""
    if current.backend().read() != there:
        raise Conflict("somebody adopted it between our looks at the backend and at the database")
    changes = {key: new for key, (_, new) in by_hand.items()}
    by, source = (
        ("an editor", "file") if isinstance(current.backend(), FileBackend) else ("redis-cli", "redis")
    )
    author = Author(by, None, _verdict("changed by hand", changes), source)
    made, changed = kept.append(author, lambda texts: _merged(texts, changes), expected=last.number)
    if changed:
        logger.warning("version %d: %s changed by hand", made.number, ", ".join(changed))
    return made


def _recover(there: Values, last: Version) -> None:
    """Somebody recorded it in a database that was lost since."""
    texts = _clean(there.texts)
    author = Author("unknown", None, _verdict("the database had lost it", texts), "redis")
    again = {"number": there.version, "stamp": there.stamp}
    kept.append(author, lambda _: texts, expected=last.number, **again)
    logger.warning("version %d was unknown to the database and is recorded again", there.version)


def _merged(texts: Texts, changes: Mapping[str, str | None]) -> Texts:
    return {key: text for key, text in {**texts, **changes}.items() if text is not None}


def _verdict(why: str, changes: Mapping[str, str | None]) -> str:
    bad = snapshot(0, "", {key: text for key, text in changes.items() if text is not None}).bad
    return "; ".join([why, *(f"ignored: {problem}" for problem in bad.values())])


def _clean(texts: Texts) -> Texts:
    """As a database can keep them: Redis holds any bytes."""
    return {_storable(key): _storable(text) for key, text in texts.items()}


def _reason(why: str) -> str:
    """Every process reads it with each look, so it is short. Raises BadInput."""
    if len(why) > LONGEST_REASON:
        raise BadInput(f"a reason should have at most {LONGEST_REASON} characters, not {len(why)}")
    if why != _storable(why):
        raise BadInput(f"no database keeps the reason {cut(why)!r}")
    return why


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _told(made: Version, *, refill: bool) -> backend.Change:
    source = "refill" if refill else made.source
    return backend.Change(made.number, made.stamp, made.by, made.why, made.at.isoformat(), source)


def _spread(version: int, stamp: str, elapsed: float) -> RolloutProgress:
    reports = [report for report in current.backend().reports() if report.kind != "command"]
    waiting = [
        report.process
        for report in reports
        if (report.version, report.stamp) != (version, stamp) and report.version <= version
    ]
    return RolloutProgress(len(reports) - len(waiting), len(reports), elapsed, sorted(waiting))
