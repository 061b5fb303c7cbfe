"""Engines for native files, in Rust and in Python, for tests that run with both."""

from __future__ import annotations

import pytest

from tecken.storage.dump import Engine, find_python_engine, find_rust_engine

ENGINES = ("tecken-dump", "symbolic")


def engine_for(title: str) -> Engine:
    """Return an engine, or skip the test where it is not built."""
    engine = find_rust_engine() if title == "tecken-dump" else find_python_engine()
    if engine is None:
        pytest.skip(f"{title} is not built (make engine)")
    return engine
