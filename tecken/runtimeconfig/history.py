"""Versions in the database, which have precedence over the backend, with their authors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Required, TypedDict
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from tecken.errors import Conflict, NotFound, Unavailable
from tecken.runtimeconfig.models import Change, Version

Texts = Mapping[str, str]
TextsChange = Callable[[Texts], Texts]
# Old and new text by entry.
Difference = dict[str, tuple[str | None, str | None]]


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
    entries = sorted({*old, *new})
    return {entry: (old.get(entry), new.get(entry)) for entry in entries if old.get(entry) != new.get(entry)}


def merge(texts: Texts, changes: Mapping[str, str | None]) -> Texts:
    """Return the texts after changes; None unsets an entry."""
    return {key: text for key, text in {**texts, **changes}.items() if text is not None}


def newest() -> Version:
    """Return the newest version; number 0 without values when there is none yet."""
    return Version.objects.first() or Version(number=0)


def find_texts(number: int) -> dict[str, str]:
    """Return the texts of a version; 0 is the state before the first one. Raises NotFound."""
    version = Version.objects.filter(number=number).first()
    if version is None and number != 0:
        raise NotFound(f"there is no version {number}; the newest is {newest().number}")
    return dict(version.values) if version else {}


def find_version(number: int, stamp: str) -> Version | None:
    """Return the version with this stamp; without a stamp the newest one below `number`, or number 0."""
    if stamp:
        return Version.objects.filter(number=number, stamp=stamp).first()
    return Version.objects.filter(number__lt=number).first() or Version(number=0)


def find_changes(option: str | None = None) -> QuerySet[Change]:
    """Return changes, newest first: all of them, or those of an option and its windows."""
    changes = Change.objects.select_related("version", "version__user")
    return changes.filter(Q(entry=option) | Q(entry__startswith=f"{option}@")) if option else changes


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
            if expected not in (None, last.number):
                raise Conflict(_describe_conflict(last, expected))
            changed = difference(last.values, change(last.values))
            return (_insert(author, last, changed, identity) if changed or identity else last), changed
    except IntegrityError:
        raise Conflict(_describe_conflict(newest())) from None


def _insert(author: Author, last: Version, changed: Difference, identity: dict[str, Any]) -> Version:
    values = merge(last.values, {entry: new for entry, (_old, new) in changed.items()})
    identity = {"number": last.number + 1, "stamp": uuid4().hex} | identity
    # The unique number makes one of two concurrent writers fail, and nothing has to be locked.
    version = Version.objects.create(values=dict(sorted(values.items())), **author, **identity)
    Change.objects.bulk_create(
        Change(version=version, entry=entry, old=old, new=new) for entry, (old, new) in changed.items()
    )
    return version


def _describe_conflict(last: Version, expected: int | None = None) -> str:
    entries = ", ".join(last.changes.values_list("entry", flat=True)) if last.pk else "nothing yet"
    number = f"the newest version is {last.number}" + ("" if expected is None else f", not {expected}")
    author = f", by {last.by} ({last.source}) at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last.pk else ""
    return f"{number}{author}: {entries}. Look again, then change."
