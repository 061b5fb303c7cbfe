"""Comparison with the `symbolic` library at each offset of well-formed symbol files."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tecken.symbols import engine
from tests.oracle.compare import differences
from tests.oracle.module import EngineModule, PagedModule
from tests.symbols.generate import sym_files

DATA = Path(__file__).parent.parent / "data"
NEEDS_ENGINE = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built: make engine")
FORMS = [
    pytest.param(PagedModule, id="python"),
    pytest.param(EngineModule, id="engine", marks=NEEDS_ENGINE),
]
SAMPLES = sorted(DATA.glob("samples*/*/*/*.sym"))


@given(sym_files())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_lookup_generated_files_agree_with_symbolic(sym: bytes) -> None:
    """Both forms look at the same files: to generate one takes longer than to compare it."""
    for form in (PagedModule, EngineModule) if engine.MODULE else (PagedModule,):
        assert not list(islice(differences(sym, form=form), 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(DATA)))
def test_lookup_real_files_agree_with_symbolic(form: type[PagedModule], path: Path) -> None:
    assert not list(islice(differences(path.read_bytes(), form=form), 3))


def test_samples_include_every_real_file() -> None:
    assert len(SAMPLES) == 6
