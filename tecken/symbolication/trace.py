"""What one request spent on its modules; the numbers behind `Debug` and the access log."""

from __future__ import annotations

from dataclasses import dataclass, field

from tecken.symbols.ids import ObjectId


@dataclass(slots=True)
class Tiers:
    """How many things came from where."""

    process: int = 0
    store: int = 0
    page_file: int = 0


@dataclass(slots=True)
class StoreLookups:
    """Keys asked of the store, keys it had, and the seconds all round trips took together."""

    count: int = 0
    hits: int = 0
    seconds: float = 0.0

    def add(self, count: int, hits: int, seconds: float) -> None:
        self.count += count
        self.hits += hits
        self.seconds += seconds


@dataclass(slots=True)
class Download:
    """Ranged reads of one module's page file."""

    count: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Trace:
    """One per request, filled by one thread. `parse` is seconds spent on unpacking headers and pages,
    `missing` why a module has no symbols."""

    headers: Tiers = field(default_factory=Tiers)
    pages: Tiers = field(default_factory=Tiers)
    store: StoreLookups = field(default_factory=StoreLookups)
    downloads: dict[ObjectId, Download] = field(default_factory=dict)
    parse: dict[ObjectId, float] = field(default_factory=dict)
    missing: dict[ObjectId, str] = field(default_factory=dict)

    def downloaded(self, module: ObjectId, size: int, seconds: float) -> None:
        spent = self.downloads.setdefault(module, Download())
        spent.count += 1
        spent.size += size
        spent.seconds += seconds

    def parsed(self, module: ObjectId, seconds: float) -> None:
        self.parse[module] = self.parse.get(module, 0.0) + seconds
