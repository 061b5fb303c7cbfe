"""Our answers and the `symbolic` library's are the same at each offset of a well-formed symbol file."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings

from tests.oracle.compare import differences, interesting
from tests.symbols.generate import sym_files


@given(sym_files())
@settings(max_examples=300, deadline=None)
def test_generated_files(sym: bytes) -> None:
    assert not list(islice(differences(sym), 3))
