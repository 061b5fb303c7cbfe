"""Symbols of a dump's modules, from this process, the store and page files; cold ones are converted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from tecken.errors import BadModule, MalformedPageFile, NotFound, Unavailable, hide_places
from tecken.store.port import Missing
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.api.schema import Job, Spelling, parse_key
from tecken.symbolication.conversion.status import NO_OFFSETS, Offsets
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.unwind_info import read_unwind_info, unwind_pages
from tecken.symbolication.service import Outcome, Parts, load_headers, resolve
from tecken.symbolication.trace import Trace
from tecken.symbols.frame import Frame, Inline
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tecken.symbols.pagefile.page import KeptPage

STATES: Final = {"absent": "missing", "malformed": "corrupt", "unreachable": "unavailable"}
NO_ID = "the dump has no debug id of this module"
NO_SOURCE = "no source has its symbols"
UNUSED = ModuleState("unused")
LOADED = ModuleState("loaded")

FindByCodeId = Callable[[str, str], ObjectId]


class ModuleNames(NamedTuple):
    """Names of a module in a dump, with paths of any system; "" for those that it does not have."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str


class LoadedSymbols:
    """Symbols of the modules of one dump; see `SymbolAccess` for the methods.

    Each method makes one call of the loader for all places, so a level of all stacks costs one round trip.
    """

    def __init__(
        self,
        parts: Parts,
        names: Sequence[ModuleNames],
        deadline: float,
        find_by_code_id: FindByCodeId,
    ) -> None:
        """Initialize the access.

        Args:
            parts: Objects and limits of a symbolication.
            names: The modules, in the order of the dump.
            deadline: The moment of `parts.clock` until which cold modules are waited for.
            find_by_code_id: Returns a module by code file and code id. Raises NotFound and Unavailable.
        """
        # The outcomes are known by then: a module is not converted again, and is counted once.
        self._rendering = parts._replace(cold=self, note_absent=_ignore_modules)
        self._parts = parts
        self._deadline = deadline
        self._find_by_code_id = find_by_code_id
        self._names = names
        self._keys: dict[int, ObjectId | BadModule | Unavailable] = {}
        self._outcomes: dict[ObjectId, Outcome] = {}
        self._in_frames: set[ObjectId] = set()
        self.trace = Trace()

    def prepare(self, modules: Sequence[int]) -> None:
        """Load modules, all at the same time."""
        for index in modules:
            if index not in self._keys:
                self._keys[index] = self._find_key(self._names[index])
        keys = [key for index in modules if isinstance(key := self._keys[index], ObjectId)]
        new = [key for key in dict.fromkeys(keys) if key not in self._outcomes]
        if new:
            self._outcomes |= load_headers(self._parts, dict.fromkeys(new, ()), self._deadline, self.trace)

    def unwind_info(self, places: Sequence[ModulePlace]) -> list[UnwindInfo | None]:
        """Return the unwind information of each place."""
        headers = self._headers(places)
        needed = {
            place: (headers[place.module][1], unwind_pages(headers[place.module][1], place.offset))
            for place in places
            if place.module in headers
        }
        wanted = {
            (*headers[place.module], number) for place, (_, numbers) in needed.items() for number in numbers
        }
        pages = self._load_pages(wanted)
        return [
            self._read_unwind_info(place, *needed[place], pages) if place in needed else None
            for place in places
        ]

    def are_functions(self, places: Sequence[ModulePlace]) -> list[bool | None]:
        """Return whether each place is in a function."""
        version = V4()
        fragments = self._render(version, places)
        return [
            None if fragment is None else fragment != version.fragment(place.offset, None)
            for place, fragment in zip(places, fragments, strict=True)
        ]

    def frames(self, places: Sequence[ModulePlace]) -> list[Frame | None]:
        """Return the frame of each place."""
        fragments = self._render(V5(), places)
        keys = [self._keys[place.module] for place in places]
        self._in_frames.update(key for key in keys if isinstance(key, ObjectId))
        return [
            None if fragment is None else _frame(place.offset, orjson.loads(b"{" + fragment))
            for place, fragment in zip(places, fragments, strict=True)
        ]

    def states(self) -> list[ModuleState]:
        """Return the state of each module."""
        return [self._state(index) for index in range(len(self._names))]

    def absent_modules(self) -> list[ObjectId]:
        """Return the modules of frames that no source has.

        Others were loaded in advance, or for a word of a stack: their symbols would change nothing.
        """
        return [
            module
            for module, outcome in self._outcomes.items()
            if module in self._in_frames and isinstance(outcome, Missing) and outcome.kind == "absent"
        ]

    def convert_and_wait(
        self,
        modules: Sequence[ObjectId],
        deadline: float,  # noqa: ARG002
        client: str = "",  # noqa: ARG002
        offsets: Offsets = NO_OFFSETS,  # noqa: ARG002
    ) -> Mapping[ObjectId, Any]:
        """Return the known outcomes of modules without a header; see `ConversionQueue`."""
        return {module: self._outcomes[module] for module in modules if not self._has_header(module)}

    def _find_key(self, names: ModuleNames) -> ObjectId | BadModule | Unavailable:
        """Return the module, found by its binary where the dump does not name its symbols."""
        debug_file, code_file = base_name(names.debug_file), base_name(names.code_file)
        if key := parse_key((debug_file or code_file, names.debug_id)):
            return key
        if code_file and names.code_id:
            try:
                return self._find_by_code_id(code_file, names.code_id.upper())
            except Unavailable as error:
                return error
            except NotFound:
                return BadModule(NO_ID)
        return BadModule(NO_ID)

    def _has_header(self, module: ObjectId) -> bool:
        return isinstance(self._outcomes[module], Header)

    def _headers(self, places: Iterable[ModulePlace]) -> dict[int, tuple[ObjectId, Header]]:
        """Return the modules of places that have symbols, by index."""
        indexes = list(dict.fromkeys(place.module for place in places))
        self.prepare(indexes)
        headers = {}
        for index in indexes:
            key = self._keys[index]
            if isinstance(key, ObjectId) and isinstance(header := self._outcomes[key], Header):
                headers[index] = key, header
        return headers

    def _load_pages(self, wanted: Iterable[tuple[ObjectId, Header, int]]) -> dict[str, dict[int, KeptPage]]:
        """Return pages by generation and number. A module without them counts as unavailable from now on."""
        pages = self._parts.modules.pages(wanted, self.trace)
        self._outcomes |= pages.unreachable
        self._outcomes |= dict.fromkeys(pages.replaced, Unavailable("its symbols are being replaced"))
        found: defaultdict[str, dict[int, KeptPage]] = defaultdict(dict)
        headers = {header.generation: header for _, header, _ in wanted}
        for (generation, number), page in pages.found.items():
            # Decoded once for all places in it.
            found[generation][number] = headers[generation].unpack(page)
        return found

    def _read_unwind_info(
        self,
        place: ModulePlace,
        header: Header,
        numbers: Sequence[int],
        pages: Mapping[str, Mapping[int, KeptPage]],
    ) -> UnwindInfo | None:
        loaded = pages.get(header.generation, {})
        if any(number not in loaded for number in numbers):
            return None
        try:
            return read_unwind_info(header, loaded, place.offset)
        except MalformedPageFile as error:
            key = self._keys[place.module]
            assert isinstance(key, ObjectId)
            self._outcomes[key] = Missing("malformed", str(error))
            return None

    def _render(self, version: ApiVersion, places: Sequence[ModulePlace]) -> list[bytes | None]:
        """Return the fragment of each place; None where its module has no symbols."""
        headers = self._headers(places)
        stack = [[place.module, place.offset] for place in places if place.module in headers]
        if not stack:
            return [None] * len(places)
        spellings: list[Spelling] = [("", "")] * len(self._names)
        for index, (key, _) in headers.items():
            spellings[index] = key.debug_file, key.debug_id
        try:
            (resolved,) = resolve(self._rendering, version, [Job(spellings, [stack])], self.trace)
        except Unavailable as error:
            self._outcomes |= {key: error for key, _ in headers.values()}
            return [None] * len(places)
        for index, module in resolved.modules.items():
            if module.failure:
                self._outcomes[headers[index][0]] = Unavailable(module.failure.message)
        return [
            resolved.modules[place.module].fragments[place.offset] if self._is_found(place, headers) else None
            for place in places
        ]

    def _is_found(self, place: ModulePlace, headers: Mapping[int, tuple[ObjectId, Header]]) -> bool:
        return place.module in headers and self._has_header(headers[place.module][0])

    def _state(self, index: int) -> ModuleState:
        key = self._keys.get(index)
        if key is None:
            return UNUSED
        outcome = self._outcomes[key] if isinstance(key, ObjectId) else key
        if isinstance(outcome, Missing):
            reason = NO_SOURCE if outcome.kind == "absent" else hide_places(outcome.reason)
            return ModuleState(STATES[outcome.kind], reason)
        if isinstance(outcome, BadModule):
            return ModuleState("missing", str(outcome))
        return (
            ModuleState("unavailable", hide_places(str(outcome)))
            if isinstance(outcome, Unavailable)
            else LOADED
        )


def base_name(path: str) -> str:
    """Return the name of a file in a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2]


def _ignore_modules(_modules: Sequence[ObjectId]) -> None:
    pass


def _frame(offset: int, fields: Mapping[str, Any]) -> Frame | None:
    """Return the frame in a fragment of version 5 of the API."""
    if "function" not in fields:
        return None
    return Frame(
        fields["function"],
        offset - int(fields["function_offset"], 16),
        fields.get("file", ""),
        fields.get("line", 0),
        tuple(
            Inline(call["function"], call.get("file", ""), call.get("line", 0))
            for call in fields.get("inlines", ())
        ),
        int(fields.get("function_size", "0"), 16),
    )
