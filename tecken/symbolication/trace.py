"""Counters of one request's work, for the `Debug` header and the log."""

from __future__ import annotations

from dataclasses import dataclass, field

from tecken.symbols.ids import ObjectId


@dataclass(slots=True)
class Tiers:
    """Numbers of items found in each tier."""

    process: int = 0
    store: int = 0
    page_file: int = 0


@dataclass(slots=True)
class StoreLookups:
    """Numbers of keys looked up and found in the store, and the seconds of all round trips together."""

    count: int = 0
    hits: int = 0
    seconds: float = 0.0

    def add(self, count: int, hits: int, seconds: float) -> None:
        """Add one round trip."""
        self.count += count
        self.hits += hits
        self.seconds += seconds


@dataclass(slots=True)
class Download:
    """Reads of one module's page file: their number, bytes and seconds."""

    count: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Trace:
    """Counters of one request, filled by one thread.

    `parse` has the seconds spent on unpacking headers and pages, `missing` the reason why a module has no
    symbols, `rendered` the number of frames that were not in the frame cache.
    """

    headers: Tiers = field(default_factory=Tiers)
    pages: Tiers = field(default_factory=Tiers)
    store: StoreLookups = field(default_factory=StoreLookups)
    downloads: dict[ObjectId, Download] = field(default_factory=dict)
    parse: dict[ObjectId, float] = field(default_factory=dict)
    missing: dict[ObjectId, str] = field(default_factory=dict)
    rendered: int = 0

    def add_download(self, module: ObjectId, size: int, seconds: float) -> None:
        """Add one read of `size` bytes from the module's page file."""
        download = self.downloads.setdefault(module, Download())
        download.count += 1
        download.size += size
        download.seconds += seconds

    def add_parsing(self, module: ObjectId, seconds: float) -> None:
        """Add seconds spent on unpacking a header or page of the module."""
        self.parse[module] = self.parse.get(module, 0.0) + seconds
