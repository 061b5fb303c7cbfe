"""Our answers and the `symbolic` library's are the same at each offset of a well-formed symbol file."""

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
def test_generated_files(sym: bytes) -> None:
    assert not list(islice(differences(sym), 3))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(DATA)))
def test_real_files(path: Path) -> None:
    assert not list(islice(differences(path.read_bytes()), 3))


def test_there_are_real_files_of_three_languages_by_two_writers() -> None:
    assert len(SAMPLES) == 6
