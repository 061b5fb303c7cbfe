"""What is put up with from a source. Whoever has one asks for it each time: it may change while we run."""

from __future__ import annotations

from typing import NamedTuple


class Patience(NamedTuple):
    """Seconds of silence and of one whole request; bytes of one symbol file, unpacked."""

    timeout: float = 10.0
    deadline: float = 300.0
    max_bytes: int = 4 << 30
