"""One version of the configuration: what every option is, when, and for whom."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.option import LONGEST_TEXT, Option
from tecken.runtimeconfig.options import CATALOGUE, Options, named
from tecken.runtimeconfig.rollout import Rollout, Subject, rollout
from tecken.runtimeconfig.schedule import Entry, entry, precedence

AGES = sorted({option.past for option in CATALOGUE.values() if option.past is not None})


def check(entry_key: str, text: str) -> None:
    """Raises BadOption: of whatever way a value came in, this is the validation."""
    _held(entry_key, text)


def check_all(changes: Mapping[str, str | None], there: Collection[str] = ()) -> None:
    """Raises one BadOption that names every problem, one per line. None unsets. Whatever is `there` may be
    unset, also an entry of an option that is no more."""
    problems = []
    for key, text in changes.items():
        try:
            if text is not None:
                check(key, text)
            elif key not in there:
                named(entry(key).option)
        except BadOption as error:
            problems.append(str(error))
    if problems:
        raise BadOption("\n".join(problems))


class Held(NamedTuple):
    """An entry that can be used."""

    key: str
    entry: Entry
    value: Any

    @property
    def precedence(self) -> object:
        return precedence(self.entry), self.key


class Moment(NamedTuple):
    """What holds between two instants at which something changes."""

    values: Mapping[str, Any]
    rollouts: Mapping[str, Rollout]


class Snapshot:
    """It never changes. `texts`: what was given; `bad`: the entries that count for nothing, and why."""

    __slots__ = (
        "_held",
        "_instants",
        "_known",
        "_moments",
        "bad",
        "has_rollouts",
        "stamp",
        "texts",
        "version",
    )

    def __init__(
        self,
        version: int,
        stamp: str,
        texts: Mapping[str, str],
        held: Collection[Held],
        bad: Mapping[str, str],
    ) -> None:
        self.version, self.stamp = version, stamp
        self.texts, self.bad = MappingProxyType(dict(texts)), MappingProxyType(dict(bad))
        self._held = sorted(held, key=attrgetter("precedence"))
        ends = (instant for one in held for instant in (one.entry.start, one.entry.end))
        self._instants = sorted({instant for instant in ends if instant is not None})
        self.has_rollouts = any(isinstance(one.value, Rollout) for one in held)
        self._moments: dict[tuple[int, int], Moment] = {}
        self._known: dict[tuple[int, int, tuple[bool, ...]], Options] = {}

    def options(self, now: datetime, subject: Subject | None = None, age: float = 0.0) -> Options:
        """`age`: seconds since the configuration was last heard of; an option whose `past` is less has its
        default."""
        at = bisect_right(self._instants, now), bisect_left(AGES, age)
        moment = self._moments.get(at) or self._moments.setdefault(at, self._moment(now, age))
        on = tuple([one.holds(option, subject) for option, one in moment.rollouts.items()])
        known = self._known.get((*at, on))
        return known or self._known.setdefault((*at, on), _options(moment, on))

    def next_change(self, now: datetime) -> datetime | None:
        """When a window begins or ends next."""
        following = bisect_right(self._instants, now)
        return self._instants[following] if following < len(self._instants) else None

    def in_force(self, now: datetime) -> dict[str, str]:
        """Of each option that has one the entry that counts: a key of `texts`."""
        return {option: one.key for option, one in self._in_force(now).items()}

    def _in_force(self, now: datetime) -> dict[str, Held]:
        return {one.entry.option: one for one in self._held if one.entry.holds(now)}

    def _moment(self, now: datetime, age: float) -> Moment:
        values = {
            name: one.value for name, one in self._in_force(now).items() if not _past(CATALOGUE[name], age)
        }
        rollouts = {name: value for name, value in values.items() if isinstance(value, Rollout)}
        return Moment({name: value for name, value in values.items() if name not in rollouts}, rollouts)


def snapshot(version: int, stamp: str, texts: Mapping[str, str]) -> Snapshot:
    """Never raises: what cannot be used is `bad`, and the default holds."""
    held, bad = [], {}
    for key, text in texts.items():
        try:
            held.append(_held(key, text))
        except BadOption as error:
            bad[key] = str(error)
    return Snapshot(version, stamp, texts, held, bad)


def _held(key: str, text: str) -> Held:
    when = entry(key)
    return Held(key, when, _value(named(when.option), text))


def _value(option: Option, text: str) -> Any:
    if option.kind != "bool" or len(text) > LONGEST_TEXT:
        return option.value(text)
    try:
        some = rollout(text)
    except BadOption as error:
        option.refuse(text, str(error))
    return some or option.value(text)


def _past(option: Option, age: float) -> bool:
    return option.past is not None and age > option.past


def _options(moment: Moment, on: tuple[bool, ...]) -> Options:
    values: dict[str, Any] = {**moment.values, **dict(zip(moment.rollouts, on, strict=True))}
    return Options.model_construct(**values)


EMPTY = snapshot(0, "", {})
