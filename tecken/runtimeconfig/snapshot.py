"""Snapshots: the values of one version, for each time and subject, and how they are presented.

A rollout is a bool option that is on for a share of ids. An id with 10 % also has 20 %, in every process:

    25%   25% of requests   25% of users   25% of tokens   users a@example.com b@example.com   tokens 12 15

An entry is the key of a text, which is an option's name with or without a window of time:

    symbolicate_max_jobs                                                always
    symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z      from the start until before the end
    symbolicate_max_jobs@2026-11-21T22:00:00Z/                          from the start on

The page, the API and the command line present the rows of `build_rows`.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from tecken.errors import BadOption
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.option import LONGEST_TEXT, Option, shorten
from tecken.runtimeconfig.options import CATALOGUE, Options, find_option

Kind = Literal["requests", "users", "tokens"]

SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%(?: of (requests|users|tokens))?", re.ASCII)
MEMBERS = re.compile(r"(users|tokens)(?:[\s,]+(.*))?", re.DOTALL)


class Subject(NamedTuple):
    """Ids of the requester: of the request, an email address, the number of a token."""

    request: str = ""
    user: str = ""
    token: int | None = None

    def id(self, kind: Kind) -> str:
        """Return the id of this kind; empty when there is none."""
        if kind == "requests":
            return self.request
        return self.user.casefold() if kind == "users" else "" if self.token is None else str(self.token)


class Rollout(NamedTuple):
    """Share in percent of the ids of a kind, or a list of members."""

    kind: Kind
    share: float
    members: frozenset[str]

    def includes(self, option: str, subject: Subject | None) -> bool:
        """Return whether the option is on; outside a request only 100 % of requests is."""
        if self.kind == "requests" and self.share == 100:
            return True
        member = subject.id(self.kind) if subject else ""
        return bool(member) and (member in self.members or position(option, member) < self.share)


def parse_rollout(text: str) -> Rollout | None:
    """Return None for a text of another form. Raises BadOption with the reason alone."""
    text = text.strip()
    if share := SHARE.fullmatch(text):
        if float(share[1]) > 100:
            raise BadOption("a share is from 0% to 100%")
        return Rollout(cast("Kind", share[2] or "requests"), float(share[1]), frozenset())
    if members := MEMBERS.fullmatch(text):
        return _parse_members(cast("Kind", members[1]), (members[2] or "").replace(",", " ").split())
    if "%" in text:
        raise BadOption("a share is 25%, 25% of users or 25% of tokens")
    return None


def position(option: str, member: str) -> float:
    """Return the place of an id from 0 to below 100: different for each option, the same in every process."""
    digest = hashlib.sha256(f"{option} {member}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) * 100 / 2**48


def _parse_members(kind: Kind, members: list[str]) -> Rollout:
    if not members:
        raise BadOption(f"the {kind} should follow, with spaces between them")
    if kind == "users":
        return Rollout(kind, 0, frozenset(member.casefold() for member in members))
    if not all(member.isascii() and member.isdigit() for member in members):
        raise BadOption("a token is given by its number")
    return Rollout(kind, 0, frozenset(member.lstrip("0") or "0" for member in members))


# Entries

MIN = datetime.min.replace(tzinfo=UTC)
MAX = datetime.max.replace(tzinfo=UTC)
LONGEST_KEY = 200


class Entry(NamedTuple):
    """Option and window, in UTC and whole seconds. Without a start it always holds."""

    option: str
    start: datetime | None = None
    end: datetime | None = None

    @property
    def key(self) -> str:
        """Return the normalized key: two ways to write the same time are one entry."""
        if self.start is None:
            return self.option
        return f"{self.option}@{_format(self.start)}/{_format(self.end) if self.end else ''}"

    @property
    def precedence(self) -> tuple[datetime, timedelta]:
        """Sort key among entries that hold: the later start wins, then the earlier end."""
        return self.start or MIN, MAX - (self.end or MAX)

    def holds(self, now: datetime) -> bool:
        """Return whether the entry is in force."""
        return (self.start or MIN) <= now and (self.end is None or now < self.end)


def parse_entry(key: str) -> Entry:
    """Return the entry of a key, whether its option exists or not. Raises BadOption."""
    option, at, window = key.partition("@")
    if not at:
        return Entry(option)
    if len(key) > LONGEST_KEY:
        raise BadOption(
            f"{shorten(key)!r}: an entry should be at most {LONGEST_KEY} characters, not {len(key)}"
        )
    first, slash, last = window.partition("/")
    if not slash:
        raise BadOption(f"{key!r}: a window should be START/END or START/, not {window!r}")
    start, end = _parse_instant(key, first), _parse_instant(key, last) if last else None
    if end and end <= start:
        raise BadOption(
            f"{key!r}: a window should end after its start {_format(start)}, not at {_format(end)}"
        )
    return Entry(option, start, end)


def _parse_instant(key: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo and not (instant := given.astimezone(UTC)).microsecond:
            return instant
    except (ValueError, OverflowError):
        pass
    raise BadOption(f"{key!r}: a time should be such as 2026-11-21T22:00:00Z, not {text!r}")


def _format(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# Snapshots

AGES = sorted({option.past for option in CATALOGUE.values() if option.past is not None})


def parse_setting(key: str, text: str) -> tuple[Entry, Any]:
    """Return the entry of a key and the value of its text, which may be a Rollout.

    All inputs use this function. Raises BadOption.
    """
    entry = parse_entry(key)
    option = find_option(entry.option)
    value = None
    if option.kind == "bool" and len(text) <= LONGEST_TEXT:
        try:
            value = parse_rollout(text)
        except BadOption as error:
            option.refuse(text, str(error))
    return entry, option.parse(text) if value is None else value


def check_all(changes: Mapping[str, str | None], existing: Collection[str] = ()) -> None:
    """Raise one BadOption with a line for each entry that has a problem.

    None unsets an entry, which may be that of any option, or one of `existing`.
    """
    problems = {}
    for key, text in changes.items():
        try:
            if text is not None:
                parse_setting(key, text)
            elif key not in existing:
                find_option(parse_entry(key).option)
        except BadOption as error:
            problems[key] = str(error)
    if problems:
        raise BadOption("\n".join(problems.values()), problems)


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
                settings.append((key, *parse_setting(key, text)))
            except BadOption as error:
                bad[key] = str(error)
        self.bad = MappingProxyType(bad)
        self.has_rollouts = any(isinstance(value, Rollout) for _key, _entry, value in settings)
        self._settings = sorted(settings, key=lambda setting: (setting[1].precedence, setting[0]))
        ends = {instant for _key, entry, _value in settings for instant in entry[1:]}
        self._instants = sorted(instant for instant in ends if instant is not None)
        # By the instants and ages that are past: between them nothing changes.
        self._values: dict[tuple[int, int], dict[str, Any]] = {}
        self._options: dict[tuple[object, ...], Options] = {}

    def options(self, now: datetime, subject: Subject | None = None, age: float = 0.0) -> Options:
        """Return the values in force. `age`: seconds since the last contact to the backend."""
        period = bisect_right(self._instants, now), bisect_left(AGES, age)
        if period not in self._values:
            values = {entry.option: value for _key, entry, value in self._settings if entry.holds(now)}
            pasts = {name: CATALOGUE[name].past for name in values}
            self._values[period] = {name: values[name] for name in values if (pasts[name] or age) >= age}
        values = self._values[period]
        switches = [
            (name, value.includes(name, subject))
            for name, value in (values.items() if self.has_rollouts else ())
            if isinstance(value, Rollout)
        ]
        cached = period, *switches
        if cached not in self._options:
            self._options[cached] = Options.model_construct(**(values | dict(switches)))
        return self._options[cached]

    def in_force(self, now: datetime) -> dict[str, str]:
        """Return the key in `texts` that counts for each option that is set."""
        return {entry.option: key for key, entry, _value in self._settings if entry.holds(now)}


EMPTY = Snapshot(0, "", {})


# Presentation


class Scheduled(NamedTuple):
    """Text of a window. `bad`: why it is ignored, else empty."""

    key: str
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class OptionRow(NamedTuple):
    """Option with the text that is always set, if any, and the value in force with its text."""

    option: Option
    text: str | None
    value: Any
    in_force: str
    bad: str
    scheduled: list[Scheduled]


def build_rows(snapshot: Snapshot, now: datetime) -> list[OptionRow]:
    """Return all options in the order of declaration."""
    values, keys, texts = snapshot.options(now), snapshot.in_force(now), snapshot.texts
    return [
        OptionRow(
            option,
            texts.get(name),
            getattr(values, name),
            texts[keys[name]] if name in keys else option.default_text,
            snapshot.bad.get(name, ""),
            [_schedule(snapshot, key) for key in sorted(texts) if key.startswith(f"{name}@")],
        )
        for name, option in CATALOGUE.items()
    ]


def _schedule(snapshot: Snapshot, key: str) -> Scheduled:
    try:
        _option, start, end = parse_entry(key)
    except BadOption:
        start = end = None
    return Scheduled(key, start, end, snapshot.texts[key], snapshot.bad.get(key, ""))


def find_unknown(snapshot: Snapshot) -> dict[str, str]:
    """Return the entries of options that do not exist (any more)."""
    return {key: text for key, text in snapshot.texts.items() if key.partition("@")[0] not in CATALOGUE}


# A fleet has a thousand processes: a page shows those that lack the newest version, and some others.
PROCESSES_SHOWN = 50


def list_late_first(processes: list[tuple[Report, bool]]) -> list[tuple[Report, bool]]:
    """Return the processes that a page shows."""
    return sorted(processes, key=lambda process: process[1])[:PROCESSES_SHOWN]


def list_processes(reports: Iterable[Report], version: int, stamp: str) -> list[tuple[Report, bool]]:
    """Return the processes other than commands, and whether each has the version or a newer one."""
    return [
        (report, report.has_applied(version, stamp)) for report in sorted(reports) if report.kind != "command"
    ]
