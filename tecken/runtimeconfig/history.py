"""The versions in the database: what is true, who made it so, and what was so before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from tecken.errors import Absent, Conflict, CouldNotAsk
from tecken.runtimeconfig.models import Change, Version

Texts = Mapping[str, str]
Difference = dict[str, tuple[str | None, str | None]]


class Author(NamedTuple):
    by: str
    user: User | None
    why: str
    source: str


@contextmanager
def database() -> Iterator[None]:
    """Raises CouldNotAsk when it does not answer. A connection that was made in here does not stay."""
    was_open = connection.connection is not None
    try:
        yield
    except Error as error:
        raise CouldNotAsk("the database does not answer, or `migrate` was not run") from error
    finally:
        if not was_open:
            connection.close()


def difference(old: Texts, new: Texts) -> Difference:
    """Old and new text of each entry that differs; None: not set."""
    return {
        entry: (old.get(entry), new.get(entry))
        for entry in sorted({*old, *new})
        if old.get(entry) != new.get(entry)
    }


def newest() -> Version:
    """Number 0 with no values when there is none yet."""
    return Version.objects.first() or Version(number=0)


def texts(number: int) -> dict[str, str]:
    """Of version NUMBER; nothing was set before the first, which is 0. Raises Absent."""
    found = Version.objects.filter(number=number).first()
    if found is None and number != 0:
        raise Absent(f"there is no version {number}; the newest is {newest().number}")
    return dict(found.values) if found else {}


def before(number: int) -> Version:
    """The newest that is older than NUMBER."""
    return Version.objects.filter(number__lt=number).first() or Version(number=0)


def known(number: int, stamp: str) -> Version | None:
    return Version.objects.filter(number=number, stamp=stamp).first()


def append(
    author: Author, values: Callable[[Texts], Texts], *, expected: int | None = None, **more: Any
) -> tuple[Version, Difference]:
    """A version with VALUES of the newest one's texts; the newest one itself when they are the same, unless
    `more` gives it a number and a stamp. Raises Conflict when somebody else was first."""
    try:
        with transaction.atomic(durable=True):  # so that it is committed on return
            last = newest()
            if expected not in (None, last.number):
                raise Conflict(_meanwhile(last, expected))
            changed = difference(last.values, values(last.values))
            return (_inserted(author, last, changed, **more) if changed or more else last), changed
    except IntegrityError:
        raise Conflict(_meanwhile(newest())) from None


def _inserted(author: Author, last: Version, changed: Difference, **more: Any) -> Version:
    after = {**last.values, **{entry: new for entry, (_, new) in changed.items()}}
    values = {entry: text for entry, text in sorted(after.items()) if text is not None}
    fresh = {"number": last.number + 1, "stamp": uuid4().hex} | more
    made = Version.objects.create(values=values, **author._asdict(), **fresh)
    Change.objects.bulk_create(
        Change(version=made, entry=entry, old=old, new=new) for entry, (old, new) in changed.items()
    )
    return made


def _meanwhile(last: Version, expected: int | None = None) -> str:
    what = ", ".join(last.changes.values_list("entry", flat=True)) if last.pk else "nothing yet"
    which = f"the newest version is {last.number}" + ("" if expected is None else f", not {expected}")
    who = f", by {last.by} ({last.source}) at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last.pk else ""
    return f"{which}{who}: {what}. Look again, then change."


def changes(option: str | None = None) -> QuerySet[Change]:
    """Newest first, of all options or one and what is scheduled for it."""
    every = Change.objects.select_related("version", "version__user")
    return every.filter(Q(entry=option) | Q(entry__startswith=f"{option}@")) if option else every
