"""The table of limits in docs/api.md, against the options."""

from __future__ import annotations

import re

from tecken.runtimeconfig.options import CATALOGUE
from tecken.settings import BASE_DIR

SECTION = (BASE_DIR / "docs" / "api.md").read_text().partition("## Limits\n")[2].partition("\n## ")[0]
ROWS = [line.strip("|").split("|") for line in re.findall(r"^\| .*\|$", SECTION, re.MULTILINE)][1:]
CLIENTS_MEET = re.compile(r"(symbolicate|upload|upload_direct)_max_\w+|symbol_max_bytes|failed_tokens")


def test_limits_table_every_row_has_five_cells() -> None:
    assert len(ROWS) >= 10
    assert [row for row in ROWS if len(row) != 5] == []


def test_limits_table_defaults_are_those_of_the_options() -> None:
    for _limit, default, options, _status, _text in ROWS:
        rows = [CATALOGUE[name] for name in re.findall(r"`(\w+)`", options)]
        assert re.findall(r"`([^`]+)`", default) == [option.format(option.default) for option in rows]


def test_limits_table_has_every_option_that_bounds_a_request() -> None:
    bounds = {name for name in CATALOGUE if CLIENTS_MEET.fullmatch(name)}
    assert {name for name in bounds if f"`{name}`" not in SECTION} == set()
