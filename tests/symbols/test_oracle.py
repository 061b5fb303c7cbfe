"""Comparison with the `symbolic` library at each offset of well-formed symbol files."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.oracle.compare import differences
from tests.symbols.generate import sym_files

DATA = Path(__file__).parent.parent / "data"
SAMPLES = sorted(DATA.glob("samples*/*/*/*.sym"))


@given(sym_files())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_lookup_generated_files_agree_with_symbolic(sym: bytes) -> None:
    assert not list(islice(differences(sym), 3))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(DATA)))
def test_lookup_real_files_agree_with_symbolic(path: Path) -> None:
    assert not list(islice(differences(path.read_bytes()), 3))


def test_samples_include_every_real_file() -> None:
    assert len(SAMPLES) == 6
