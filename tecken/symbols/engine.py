"""The engine: a Rust module that makes and searches pages, and renders frames, faster than the Python form.

This is the one place that imports it. `MODULE` is None where it is not built (`make engine`) or was built
for another release; then `tecken.symbols.pagefile` and `tecken.symbols.lookup` do the same in Python. Both
forms render the same bytes and cut pages at the same places; only the engine packs FUNC blocks in them
(tests/symbolication/test_engine.py, tests/symbols/pagefile/test_engine.py, docs/adr/0014-engine.md).

Source of the module: `engine/`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Final, Protocol, TypeGuard, cast

from tecken.errors import MalformedPageFile

# The interface of the module that this release uses: `INTERFACE` in engine/src/lib.rs.
INTERFACE: Final = 8

# Bytes of a record that an error shows.
SHOWN_BYTES: Final = 80


class LoadedPage(Protocol):
    """Page that was decompressed and checked, in the memory of the engine."""

    def __bytes__(self) -> bytes:
        """Return the page in the layout of version 2."""
        ...


class EngineCache(Protocol):
    """Cache of pages by generation and number, and of names in them; bounded in bytes."""

    size: int

    def get(self, generation: int, page: int) -> LoadedPage | None:
        """Return a page if it is cached."""
        ...

    def put(self, generation: int, pages: Sequence[tuple[int, LoadedPage]]) -> None:
        """Store pages by number."""
        ...

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        ...


class EngineFrames(Mapping[int, bytes]):
    """Rendered frames of one module by offset, in the memory of the engine.

    The engine's class is no subclass of this one, which only describes it.
    """

    largest: int
    """Bytes of the largest frame."""

    @staticmethod
    def of(frames: Mapping[int, bytes]) -> EngineFrames:
        """Return the same frames; their offsets are below 2**32."""
        raise NotImplementedError

    @abstractmethod
    def __or__(self, other: EngineFrames) -> EngineFrames: ...


class EngineFrameCache(Protocol):
    """Cache of rendered frames by version, generation and offset; bounded in bytes."""

    size: int

    def get(self, version: str, generation: int, offsets: Iterable[int]) -> EngineFrames:
        """Return the frames of those offsets that are cached."""
        ...

    def put(self, version: str, generation: int, frames: EngineFrames) -> None:
        """Store frames."""
        ...

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        ...


class CompiledSearch(Protocol):
    """Search for the offsets of one module, in two steps. It takes pages from the cache by itself."""

    pages: Sequence[int]
    """Numbers of the other pages that `find` needs."""
    name_pages: Sequence[int]
    """Numbers of the other pages that `render` needs."""
    cached_pages: int
    """Number of pages that the cache had."""
    rendered_bytes: int

    def find(
        self, pages: Sequence[LoadedPage], has_places: bool, clock: Callable[[], float], end: float
    ) -> bool:
        """Look the offsets up in pages of `Reader.load`. Return whether `clock()` has passed `end` before."""
        ...

    def render(
        self,
        version: str,
        names: Sequence[LoadedPage],
        max_bytes: float,
        clock: Callable[[], float],
        end: float,
    ) -> tuple[EngineFrames, bool]:
        """Return the rendered frames by offset, and whether `clock()` has passed `end` before.

        The rendering ends, too, once the frames have more than `max_bytes`.
        """
        ...


class Reader(Protocol):
    """Tables and dictionary of one header."""

    def load(self, packed: Sequence[bytes]) -> list[LoadedPage]:
        """Check pages, and return them decompressed."""
        ...

    def lines(self, packed: bytes) -> bytes:
        """Return the records of a page of symbols as lines of a symbol file."""
        ...

    def search(self, offsets: Sequence[int], cache: EngineCache | None) -> CompiledSearch:
        """Return a search for offsets below 2**32."""
        ...


class NativeCutter(Protocol):
    """Text of one symbol file, which is fed, then cut into pages, then compressed; see `pagefile.cutter`."""

    head: bytes | None
    """Start of the text, up to a line end, with a newline before it. None before the first line."""
    length: int
    complete: bool
    symbols: int
    dropped: dict[str, int]
    cuts: Sequence[tuple[int, int]]

    def feed(self, chunk: bytes) -> None:
        """Add text."""
        ...

    def cut(self) -> None:
        """Scan the rest of the text and cut all of it."""
        ...

    def page(self, number: int) -> bytes:
        """Return one page, not compressed."""
        ...

    def compress(
        self, dictionary: bytes, threads: int, take: Callable[[int, bytes, Sequence[int]], None]
    ) -> None:
        """Call `take` with the first number, the compressed pages and their ends, for all pages in order."""
        ...


class NativeStackRecords(Protocol):
    """Scanner of STACK records; see `pagefile.cfi.RecordScanner`."""

    dropped: dict[str, int]

    def feed(self, text: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Scan text, and return keys, sizes, kinds, lengths and text of the records that have ended."""
        ...

    def finish(self) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Scan the rest of the text, and return the last records."""
        ...


class Engine(Protocol):
    """The module."""

    INTERFACE: int
    # Error for a page that is not valid; its argument is a text, or the start of a record as bytes.
    Malformed: type[Exception]
    # Error for text that is not converted; its arguments are whether it is too large, and why.
    Refused: type[Exception]

    def Cutter(self, descriptor: int | None, window: int, page_size: int, max_records: int) -> NativeCutter:
        """Return a cutter with its spool in the file of a descriptor, or in memory."""
        ...

    def StackRecords(self, max_record: int, max_records: int) -> NativeStackRecords:
        """Return a scanner that leaves out longer records, and those after so many."""
        ...

    def pack(self, block: bytes) -> bytes | None:
        """Return the packed form of a FUNC block; see `pagefile.packed`."""
        ...

    def expand(self, record: bytes, address: int) -> bytes | None:
        """Return the text of a packed FUNC block, None for a malformed one."""
        ...

    def Reader(  # noqa: PLR0917 - the parts of a header
        self,
        raw: bytes,
        version: int,
        generation: int,
        keys_at: int,
        pages: Sequence[int],
        dictionary_at: int,
    ) -> Reader:
        """Return a reader of the pages of a header."""
        ...

    def PageCache(self, max_bytes: int) -> EngineCache:
        """Return an empty cache."""
        ...

    Frames: type[EngineFrames]

    def FrameCache(self, max_bytes: int) -> EngineFrameCache:
        """Return an empty cache."""
        ...

    def join_stack(
        self,
        stack: list[list[int]],
        labels: dict[int, bytes],
        fragments: dict[int, Mapping[int, bytes]],
    ) -> bytes:
        """Return the JSON of a stack's frames in version 5.

        `labels` and `fragments` have each module's name, with a comma, and its frames: EngineFrames or a
        dictionary.
        """
        ...


def _load() -> Engine | None:
    try:
        module = cast(Engine, import_module("tecken_engine"))
    except ImportError:
        return None
    return module if module.INTERFACE == INTERFACE else None


MODULE: Engine | None = _load()

# What the engine raises for a malformed page; nothing without the engine.
MALFORMED: tuple[type[Exception], ...] = (MODULE.Malformed,) if MODULE else ()


def are_engine_frames(frames: Mapping[int, bytes]) -> TypeGuard[EngineFrames]:
    """Return whether frames are in the memory of the engine."""
    return MODULE is not None and isinstance(frames, MODULE.Frames)


def malformed_page(error: Exception) -> MalformedPageFile:
    """Return the error of the Python form for an error of the engine."""
    (argument,) = error.args
    if isinstance(argument, bytes):
        return malformed_record(argument)
    return MalformedPageFile(argument)


def malformed_record(record: bytes) -> MalformedPageFile:
    """Return the error for text that is neither a FUNC nor a PUBLIC record."""
    return MalformedPageFile(f"not a FUNC or PUBLIC record: {record[:SHOWN_BYTES]!r}")
