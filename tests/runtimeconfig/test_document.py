"""docs/runtime-configuration.md has a row for every option of the registry, and no other."""

from __future__ import annotations

import re
from itertools import groupby

from tecken.runtimeconfig.option import Option
from tecken.runtimeconfig.options import CATALOGUE
from tecken.settings import BASE_DIR

HEAD = "| option | default | may be | what it is |\n|---|---|---|---|\n"


def row(option: Option) -> str:
    default = f"`{shown}`" if (shown := option.format(option.default)) else "none"
    allowed = option.allowed.partition(", such as")[0]
    return f"| `{option.name}` | {default} | {allowed} | {option.text} |\n"


def tables() -> str:
    """Return the expected tables, one for each group."""
    groups = groupby(CATALOGUE.values(), key=lambda option: option.group)
    return "\n".join(f"### {title}\n\n{HEAD}{''.join(map(row, options))}" for title, options in groups)


def test_document_lists_every_option_as_declared() -> None:
    document = (BASE_DIR / "docs" / "runtime-configuration.md").read_text()
    found = re.search(r"^## Every option\n.*?(?=^### )(.*?)(?=^## )", document, re.MULTILINE | re.DOTALL)
    assert found
    assert found[1].strip().splitlines() == tables().strip().splitlines()


def test_document_names_existing_tests() -> None:
    document = (BASE_DIR / "docs" / "runtime-configuration.md").read_text()
    tests = "".join(path.read_text() for path in (BASE_DIR / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", document))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()
