"""Snapshots: the values of one version, for each time and subject."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.option import LONGEST_TEXT
from tecken.runtimeconfig.options import CATALOGUE, Options, find_option
from tecken.runtimeconfig.rollout import Rollout, Subject, parse_rollout
from tecken.runtimeconfig.schedule import Entry, parse_entry

AGES = sorted({option.past for option in CATALOGUE.values() if option.past is not None})


class Setting(NamedTuple):
    """Parsed text. `value` may be a Rollout."""

    key: str
    entry: Entry
    value: Any


def parse_setting(key: str, text: str) -> Setting:
    """Parse and validate a text. All inputs use this function. Raises BadOption."""
    entry = parse_entry(key)
    option = find_option(entry.option)
    value = None
    if option.kind == "bool" and len(text) <= LONGEST_TEXT:
        try:
            value = parse_rollout(text)
        except BadOption as error:
            option.refuse(text, str(error))
    return Setting(key, entry, option.parse(text) if value is None else value)


def find_problems(changes: Mapping[str, str | None], existing: Collection[str] = ()) -> dict[str, str]:
    """Return the error of each change that has one. None unsets: options, and all `existing` entries."""
    problems = {}
    for key, text in changes.items():
        try:
            if text is not None:
                parse_setting(key, text)
            elif key not in existing:
                find_option(parse_entry(key).option)
        except BadOption as error:
            problems[key] = str(error)
    return problems


def check_all(changes: Mapping[str, str | None], existing: Collection[str] = ()) -> None:
    """Raise one BadOption with a line for each of `find_problems`."""
    if problems := find_problems(changes, existing):
        raise BadOption("\n".join(problems.values()))


class Moment:
    """Values between two instants at which something changes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._rollouts = {name: value for name, value in values.items() if isinstance(value, Rollout)}
        self._options: dict[tuple[bool, ...], Options] = {}

    def options(self, subject: Subject | None) -> Options:
        """Return the options of a subject."""
        switches = tuple([rollout.includes(name, subject) for name, rollout in self._rollouts.items()])
        if switches not in self._options:
            values = self._values | dict(zip(self._rollouts, switches, strict=True))
            self._options[switches] = Options.model_construct(**values)
        return self._options[switches]


class Snapshot:
    """Immutable version. `bad` has the reason for each entry that is ignored, so that the default holds.

    Equal options are one object, computed once: threads may compute one twice, but never see half of it.
    """

    def __init__(self, version: int, stamp: str, texts: Mapping[str, str]) -> None:
        self.version, self.stamp = version, stamp
        self.texts = MappingProxyType(dict(texts))
        settings, bad = [], {}
        for key, text in texts.items():
            try:
                settings.append(parse_setting(key, text))
            except BadOption as error:
                bad[key] = str(error)
        self.bad = MappingProxyType(bad)
        self.has_rollouts = any(isinstance(setting.value, Rollout) for setting in settings)
        self._settings = sorted(settings, key=lambda setting: (setting.entry.precedence, setting.key))
        ends = {instant for setting in settings for instant in (setting.entry.start, setting.entry.end)}
        self._instants = sorted(instant for instant in ends if instant is not None)
        self._moments: dict[tuple[int, int], Moment] = {}

    def options(self, now: datetime, subject: Subject | None = None, age: float = 0.0) -> Options:
        """Return the values in force. `age`: seconds since the last contact to the backend."""
        period = bisect_right(self._instants, now), bisect_left(AGES, age)
        if period not in self._moments:
            settings = self._in_force(now)
            values = {name: settings[name].value for name in settings if not _is_past(name, age)}
            self._moments[period] = Moment(values)
        return self._moments[period].options(subject)

    def in_force(self, now: datetime) -> dict[str, str]:
        """Return the key in `texts` that counts for each option that is set."""
        return {option: setting.key for option, setting in self._in_force(now).items()}

    def _in_force(self, now: datetime) -> dict[str, Setting]:
        return {setting.entry.option: setting for setting in self._settings if setting.entry.holds(now)}


def _is_past(name: str, age: float) -> bool:
    past = CATALOGUE[name].past
    return past is not None and age > past


EMPTY = Snapshot(0, "", {})
