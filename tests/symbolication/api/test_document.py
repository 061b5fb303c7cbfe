"""Agreement of docs/api.md with the code."""

from __future__ import annotations

import re
from inspect import getmodule, getsource
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from tecken import errors
from tecken.symbolication.api import answer, schema
from tecken.symbolication.service import MISSING_NAMES
from tecken.symbolication.trace import describe_cost

DOC = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


@pytest.mark.parametrize("text", re.findall(r'InvalidInput\("([^"]+)"\)', getsource(schema)))
def test_api_document_contains_every_error_text(text: str) -> None:
    assert f"`{text}`" in DOC


def test_api_document_examples_are_json() -> None:
    examples = re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)
    assert len(examples) >= 3
    assert all(orjson.loads(example) for example in examples)


def test_api_document_contains_every_module_error() -> None:
    named = {error.__name__ for error in (errors.BadModule, errors.Throttled, errors.Pending)}
    described = set(re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE))
    assert described >= named | set(filter(None, MISSING_NAMES.values()))


@pytest.mark.parametrize("module", [answer, getmodule(describe_cost)])
def test_api_document_contains_every_response_key(module: ModuleType) -> None:
    keys = set(re.findall(r'"(\w+)":', getsource(module)))
    assert keys
    assert {key for key in keys if key not in DOC} == set()
