"""Exceptions to limits: their list with authors, and their changes in the runtime configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from tecken.errors import BadOption, Conflict, InvalidInput
from tecken.limits.exceptions import LimitException, parse_exception
from tecken.limits.models import utc_today
from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Change
from tecken.runtimeconfig.options import find_option
from tecken.web.usage_figures import By
from tecken.web.usage_rows import Owner, load_owners

OPTION = "limit_exceptions"
# Changes of the option in which the author of an exception is searched.
MAX_CHANGES = 100
# Two operators may change the option at the same moment. Their changes do not depend on each other.
ATTEMPTS = 3

Edit = Callable[[list[LimitException]], Sequence[LimitException]]


class ListedException(NamedTuple):
    """Exception with its owner and its origin. `version` is 0 if MAX_CHANGES changes do not have it."""

    item: LimitException
    by: By
    owner: Owner
    is_over: bool
    version: int = 0
    author: str = ""
    at: datetime | None = None
    why: str = ""

    @property
    def text(self) -> str:
        """Return the limit as an operator writes it, without the owner."""
        return str(self.item).removeprefix(f"{self.item.limit.scope} ").partition(" per ")[0]


def load_exceptions() -> list[ListedException]:
    """Return all exceptions in their order. Raises BadOption if the text of the option is not valid."""
    items = _parse(service.newest().values.get(OPTION, ""))
    if not items:
        return []
    origins = _find_origins(items)
    ids = {by: {int(item.id) for item in items if _by(item) == by} for by in ("tokens", "users")}
    owners: dict[By, dict[int, Owner]] = {
        "tokens": load_owners("tokens", ids["tokens"]),
        "users": load_owners("users", ids["users"]),
    }
    today = utc_today()
    return [
        ListedException(
            item,
            _by(item),
            owners[_by(item)][int(item.id)],
            not item.holds(today),
            *_origin(origins.get(item)),
        )
        for item in items
    ]


def _by(item: LimitException) -> By:
    return "tokens" if item.limit.whose == "token" else "users"


def _origin(change: Change | None) -> tuple[int, str, datetime | None, str]:
    if change is None:
        return 0, "", None, ""
    return change.version.number, change.version.author, change.version.at, change.version.why


def _find_origins(items: Sequence[LimitException]) -> dict[LimitException, Change]:
    """Return the newest change that added each of the exceptions."""
    origins: dict[LimitException, Change] = {}
    for change in service.find_changes(OPTION).filter(entry=OPTION)[:MAX_CHANGES]:
        added = set(_parse_if_valid(change.new)) - set(_parse_if_valid(change.old))
        for item in added.intersection(items):
            origins.setdefault(item, change)
    return origins


def _parse(text: str) -> list[LimitException]:
    return list(map(parse_exception, find_option(OPTION).parse(text)))


def _parse_if_valid(text: str | None) -> list[LimitException]:
    try:
        return _parse(text or "")
    except BadOption:
        return []


def add_exception(text: str, author: service.Author) -> service.Outcome:
    """Add an exception, in place of one with the same limit and owner. Exceptions that are over are removed.

    Raises InvalidInput, Conflict, Unavailable.
    """
    try:
        new = parse_exception(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    if not author.get("why"):
        raise InvalidInput("Write the reason for the exception: it is shown beside it")
    today = utc_today()
    if not new.holds(today):
        raise InvalidInput(f"The last day should be today or later, not {new.until}")
    return _change(
        author, lambda items: [*(i for i in items if i.holds(today) and i.place != new.place), new]
    )


def remove_exception(text: str, author: service.Author) -> service.Outcome:
    """Remove the exception with this text. Raises InvalidInput, Conflict, Unavailable."""

    def edit(items: list[LimitException]) -> list[LimitException]:
        rest = [item for item in items if str(item) != text]
        if len(rest) == len(items):
            raise InvalidInput("This exception was removed or changed meanwhile")
        return rest

    return _change(author, edit)


def _change(author: service.Author, edit: Edit) -> service.Outcome:
    for attempt in range(1, ATTEMPTS + 1):
        newest = service.newest()
        text = ", ".join(map(str, edit(_parse(newest.values.get(OPTION, "")))))
        try:
            return service.change({OPTION: text or None}, expected=newest.number, **author)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")
