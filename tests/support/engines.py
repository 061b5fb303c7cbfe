"""Engines for native files, in Rust and in Python, for tests that run with both."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tecken.storage.dump import DumpEngine, find_python_engine, find_rust_engine

ENGINES = ("tecken-dump", "symbolic")


def find_engines(titles: Iterable[str]) -> list[DumpEngine]:
    """Return the engines among those named that are installed."""
    found = {"tecken-dump": find_rust_engine(), "symbolic": find_python_engine()}
    return [engine for title in titles if (engine := found[title])]


def engine_for(title: str) -> DumpEngine:
    """Return an engine, or skip the test where it is not built."""
    engines = find_engines([title])
    if not engines:
        pytest.skip(f"{title} is not built (make engine)")
    return engines[0]
