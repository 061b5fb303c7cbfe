"""Symbols that threads have requested, remembered for the other threads of a dump."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tecken.symbolication.minidump.port import ModulePlace, SymbolAccess, UnwindInfo
from tecken.symbolication.minidump.unwind.arch import Architecture
from tecken.symbolication.minidump.unwind.cfi import CfiParser, CfiRules
from tecken.symbolication.minidump.unwind.win import WinProgram, parse_win

# Places of words of stacks of a whole dump. A dump whose scans need more has been made for that.
MAX_SCANNED: Final = 1 << 18


class PlaceRules(NamedTuple):
    """Parsed unwind information of a place. The default is that of a place without any."""

    win: WinProgram | None = None
    cfi: CfiRules | None = None
    parameter_bytes: int = 0


NO_RULES: Final = PlaceRules()


class Answers:
    """Rules of places, and whether places are in functions. Requests are collected, and sent by `fetch`."""

    def __init__(self, symbols: SymbolAccess, arch: Architecture) -> None:
        self._symbols = symbols
        self._parser = CfiParser(arch)
        self._rules: dict[ModulePlace | None, PlaceRules] = {None: NO_RULES}
        self._functions: dict[ModulePlace, bool | None] = {}
        # In the order of insertion, so that equal dumps send equal requests.
        self._wanted_rules: dict[ModulePlace, None] = {}
        self._wanted_functions: dict[ModulePlace, None] = {}

    def request_rules(self, place: ModulePlace | None) -> bool:
        """Add a place to the next request unless its rules are known. Return whether they are not."""
        if place is None or place in self._rules:
            return False
        self._wanted_rules[place] = None
        return True

    def rules(self, place: ModulePlace | None) -> PlaceRules:
        """Return the rules of a place that was requested; None is the place outside of all modules."""
        return self._rules[place]

    def request_functions(self, places: Iterable[ModulePlace]) -> bool:
        """Add places to the next request, up to the first one that is known to be in a function.

        Return whether there are any.
        """
        is_waiting = False
        for place in places:
            if place not in self._functions:
                self._wanted_functions[place] = None
                is_waiting = True
            elif self.may_be_code(place):
                break
        return is_waiting

    @property
    def is_full(self) -> bool:
        """Whether no more places of words of stacks may be requested."""
        return len(self._functions) + len(self._wanted_functions) >= MAX_SCANNED

    def may_be_code(self, place: ModulePlace) -> bool:
        """Return whether a place that was requested is in a function, or in a module without symbols."""
        return self._functions[place] is not False

    def fetch(self) -> None:
        """Send the requests, each kind in one call."""
        if places := list(self._wanted_rules):
            infos = self._symbols.unwind_info(places)
            self._rules.update(zip(places, map(self._parse, infos), strict=True))
            self._wanted_rules.clear()
        if places := list(self._wanted_functions):
            self._functions.update(zip(places, self._symbols.are_functions(places), strict=True))
            self._wanted_functions.clear()

    def _parse(self, info: UnwindInfo | None) -> PlaceRules:
        if info is None:
            return NO_RULES
        win = parse_win(info.win) if info.win else None
        return PlaceRules(win, self._parser.parse(info.cfi), info.parameter_bytes)
