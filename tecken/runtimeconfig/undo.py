"""Undo of one version: the values from before it, for the entries that it changed.

A rollback restores all values of a version, and so takes back every later version too. An undo leaves
later versions alone. An entry that was changed again since needs a decision, and one that can no longer have
its old value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Unpack

from tecken.errors import BadOption, Conflict, InvalidInput
from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Difference, TextChange, Version
from tecken.runtimeconfig.snapshot import parse_entry, parse_setting

# What to do with an entry that was changed again after the version.
Later = Literal["keep", "overwrite"]


class UndoPlan(NamedTuple):
    """Changes from the present texts to those from before a version.

    `later`: the same for entries that were changed again since. `left_out`: why an entry cannot be restored.
    """

    changes: Difference
    later: Difference
    left_out: dict[str, str]


def plan_undo(version: Version, texts: Mapping[str, str], now: datetime) -> UndoPlan:
    """Return what an undo of a version would change in the present texts."""
    plan = UndoPlan({}, {}, {})
    for entry, (old, new) in version.changed.items():
        present = texts.get(entry)
        if present == old:
            continue
        if reason := _find_obstacle(entry, old, now):
            plan.left_out[entry] = reason
        else:
            changes = plan.changes if present == new else plan.later
            changes[entry] = TextChange(present, old)
    return plan


def undo(
    number: int, *, later: Later | None = None, expected: int | None = None, **author: Unpack[service.Author]
) -> service.Outcome:
    """Record a version that restores what a version changed.

    Args:
        later: whether to keep or overwrite the values of entries that were changed again since.

    Raises:
        NotFound: there is no such version.
        Conflict: entries were changed again, and `later` is None; or the newest version is not `expected`.
        InvalidInput: none of its entries can be restored.
        Unavailable: the database does not answer.
    """
    with service.database():
        version, newest = service.find_version(number), service.newest()
        plan = plan_undo(version, newest.values, datetime.now(UTC))
    if plan.later and later is None:
        raise Conflict(
            f"{', '.join(plan.later)}: changed again after version {number}. "
            "Choose to keep the later values, or to overwrite them."
        )
    changes = plan.changes | (plan.later if later == "overwrite" else {})
    if plan.left_out and not changes:
        reasons = "; ".join(f"{entry}: {reason}" for entry, reason in plan.left_out.items())
        raise InvalidInput(f"version {number} cannot be undone: {reasons}")
    author["why"] = author.get("why") or f"undo of version {number}"
    texts = {entry: old for entry, (_present, old) in changes.items()}
    return service.change(texts, expected=newest.number if expected is None else expected, **author)


def _find_obstacle(entry: str, text: str | None, now: datetime) -> str:
    """Return why an entry cannot have a text again; empty if it can."""
    try:
        end = parse_entry(entry).end
        if end is not None and end <= now:
            return "its time has passed"
        if text is not None:
            parse_setting(entry, text)
    except BadOption as error:
        # An entry that cannot be parsed can still be removed.
        return str(error) if text is not None else ""
    return ""
