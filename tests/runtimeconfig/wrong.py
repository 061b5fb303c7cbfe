"""Invalid changes (wrong type, out of bounds, unknown option) and their error texts."""

from __future__ import annotations

import pytest

from tecken.errors import BadOption
from tecken.runtimeconfig.snapshot import parse_setting

WRONG = [("symbolicate_max_jobs", "many"), ("symbolicate_max_jobs", "0"), ("symbolicate_max_job", "20")]


def said_of(name: str, text: str) -> str:
    with pytest.raises(BadOption) as refused:
        parse_setting(name, text)
    return str(refused.value)
