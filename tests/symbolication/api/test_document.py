"""docs/api.md says what the code says."""

from __future__ import annotations

import re
from inspect import getsource
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from tecken import errors
from tecken.symbolication import request_cost
from tecken.symbolication.api import answer, schema
from tecken.symbolication.service import MISSING_NAMES

DOC = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


@pytest.mark.parametrize("text", re.findall(r'BadInput\("([^"]+)"\)', getsource(schema)))
def test_every_text_is_described(text: str) -> None:
    assert f"`{text}`" in DOC


def test_every_example_is_json() -> None:
    examples = re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)
    assert len(examples) >= 3
    assert all(orjson.loads(example) for example in examples)


def test_every_failure_is_described() -> None:
    named = {error.__name__ for error in (errors.BadModule, errors.Throttled, errors.Pending)}
    described = set(re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE))
    assert described >= named | set(filter(None, MISSING_NAMES.values()))


@pytest.mark.parametrize("module", [answer, request_cost])
def test_every_key_of_an_answer_is_described(module: ModuleType) -> None:
    keys = set(re.findall(r'"(\w+)":', getsource(module)))
    assert keys
    assert {key for key in keys if key not in DOC} == set()
