"""Texts that people paste: each file in `texts` gives functions, or a rejection that helps.

The texts are written for these tests, in the form of the program that their name tells, with the modules and
addresses of the sample program. Its frames are chosen so that a wrong offset gives another line: the call in
`crash_report` is the last instruction of line 42, and its return address belongs to line 43.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import NotSymbolicatable
from tests.symbolication.crash_reports.lookup import describe

TEXTS = Path(__file__).parent / "texts"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((TEXTS / "expected.toml").read_text())
GIVING_FUNCTIONS = sorted(name for name, expected in EXPECTED.items() if "first" in expected)
REJECTED = sorted(EXPECTED.keys() - set(GIVING_FUNCTIONS))
MOST = 1000


def read(name: str) -> str:
    return (TEXTS / name).read_bytes().decode(errors="replace")


def test_every_text_is_expected() -> None:
    assert {path.name for path in TEXTS.iterdir()} - {"expected.toml"} == set(EXPECTED)


@pytest.mark.parametrize("name", GIVING_FUNCTIONS)
def test_text_gives_functions(name: str) -> None:
    report = parse_report(read(name), MOST)
    found = {
        "kind": report.kind,
        "reason": report.reason,
        "threads": [thread.name for thread in report.threads],
        "frames": report.count_frames(),
        "modules": [f"{module.debug_file} {module.debug_id}".strip() for module in report.modules],
        "build_ids": list(report.build_ids),
        "remarks": list(report.remarks),
        "first": describe(report),
    }
    assert found == {"reason": "", "build_ids": [], "remarks": [], **EXPECTED[name]}


@pytest.mark.parametrize("name", REJECTED)
def test_text_is_rejected_with_its_kind_and_the_next_step(name: str) -> None:
    expected = EXPECTED[name]
    with pytest.raises(NotSymbolicatable) as caught:
        parse_report(read(name), MOST)
    assert caught.value.kind == expected["kind"]
    assert str(caught.value).startswith(f"Recognized as {expected['kind']}. ")
    assert expected["next"] in str(caught.value)


@pytest.mark.parametrize("name", GIVING_FUNCTIONS)
def test_text_with_windows_line_ends_gives_the_same(name: str) -> None:
    text = read(name).replace("\r\n", "\n")
    assert parse_report(text.replace("\n", "\r\n"), MOST) == parse_report(text, MOST)


@pytest.mark.parametrize("name", GIVING_FUNCTIONS)
def test_text_gives_no_line_ends(name: str) -> None:
    report = parse_report(read(name).replace("\n", "\r\n"), MOST)
    texts = [report.reason, *(thread.name for thread in report.threads), *report.remarks, *report.build_ids]
    texts += [part for module in report.modules for part in module]
    texts += [frame.given for thread in report.threads for frame in thread.frames]
    assert not any("\r" in text or "\n" in text for text in texts)
