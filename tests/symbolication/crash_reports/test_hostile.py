"""Texts that are crafted to take long or to overflow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import (
    ADDRESSES,
    ReportFrame,
    ReportModule,
    parse_address,
)

GUID = "44E4EC8C2F41492B9369D6B9A059577C2"
BUILD_ID = "1" * 32
MOST = 20_000
SHORT, LONG = 10_000, 40_000
MEGABYTE = 1 << 20
GROWTH = 8
"""Largest factor in lines of code that run for four times the text: 4 is linear, 16 is quadratic."""
IMAGE = f"0x1 - 0x2 a <{BUILD_ID}> /b\nThread 0:\n"
WARNING = "(WARNING: No symbols, b, "

TEXTS: dict[str, Callable[[int], str]] = {
    "newlines": lambda n: "\n" * n + "x",
    "spaces": lambda n: " " * n + "x",
    "spaces before an offset": lambda n: f"a {GUID}" + " " * n + "x",
    "spaces after a name": lambda n: "a" + " " * n + "x",
    "an endless id": lambda n: "a " + "1" * n,
    "spaces round a plus": lambda n: "a" + " " * n + "+" + " " * n + "x",
    "spaces in a frame of minidump_stackwalk": lambda n: "Thread 0\n 0  a" + " " * n + "b\nLoaded modules:\n",
    "words in a module line": lambda n: (
        "Thread 0\n 0  a\nLoaded modules:\n0x1 - 0x2  " + "a  " * (n // 3) + "x"
    ),
    "warnings in a module line": lambda n: (
        "Thread 0\n 0  a\nLoaded modules:\n0x1 - 0x2  a  " + WARNING * (n // len(WARNING)) + "x"
    ),
    "spaces in a frame of Apple": lambda n: IMAGE + "0 a" + " " * n + "b",
    "frames of one thread of Apple": lambda n: IMAGE + "0 a 0x00000001 b\n" * (n // 17),
    "frames of one thread of gdb": lambda n: "#0 0x1 in a\n" * (n // 12),
    "frames of one thread of minidump_stackwalk": lambda n: (
        "Thread 0\n" + " 0  a + 0x1\n" * (n // 12) + "Loaded modules:\n"
    ),
    "modules and frames of gdb": lambda n: (
        f"0x9+0x1 {BUILD_ID}@0x1 . . a\n" * (n // 2 // 52) + "#0 0x1 in a\n" * (n // 2 // 12)
    ),
    "frames of minidump_stackwalk -m": lambda n: "Module|a|b|c|d\n" + "0|0|a|b|c|1|0x1\n" * (n // 16),
    "digits of a frame's number": lambda n: "#" + "9" * n + " 0x1 in a",
    "digits of an address": lambda n: "#1 0x" + "f" * n + " in a",
    "nested lists": lambda n: "[" * n,
    "modules and frames of a crash report": lambda n: json.dumps(
        {
            "modules": [{"base_addr": at, "debug_file": "a", "debug_id": GUID} for at in range(n // 100)],
            "threads": [{"frames": [{"offset": 7}] * (n // 40)}],
        }
    ),
}


# Beginnings of lines that a parser reads further, and lines that are nearly those of each kind.
STARTS = (
    *(
        "Module|a|b|c|d\n",
        "Thread 0\n",
        "    #0 0x1 ",
        "==1==ERROR: AddressSanitizer: a\n    #0 0x1  (",
        "#00 pc 0001  ",
    ),
    *(
        "Stack trace of thread 1:\n#0 0x1 n/a (",
        "./a(+0x1",
        "a[1]: segfault at 8 ip 1 in a[",
        "* frame #0: 0x1 ",
    ),
    *(
        " # Child-SP RetAddr Call Site\n00 ",
        "thread 'a' panicked at ",
        "Native frames:\nC  [a+0x1",
        "=>0 0x00401130 in ",
    ),
    *(
        "Received signal 1\n#0 0x1 ",
        "{{{bt:0:0x1",
        "{{{module:0:a:elf:",
        "#00 abs 1 virt 1 ",
        "a 1 1.0: cycles:\n  55 a (",
        "0x1+0x1 ",
    ),
    *(
        "5555-6666 r-xp 0 00:00 1 ",
        "Module a with build-id ",
        "[  0] 11111111-",
        "goroutine 1 [",
        "  at a.b(",
        "11-30 20:40:42.1 ",
    ),
    *(
        "Nov 30 20:40:42 ",
        "2026-11-30T20:40:42Z ",
        "\x1b[",
        "MDMP",
        '{"a": [',
        "Binary Images:\n0x1 - 0x2 a <",
        "a (",
    ),
)
UNITS = (
    "a",
    " ",
    "0",
    "(",
    ")",
    "+",
    "\n",
    " (",
    "+0x1",
    ": ",
    "a b ",
    "[",
    "-",
    "\t",
    "/",
    "\\",
    "0x1 ",
    "`",
    "\n#0 0x1 in a (a+0x1)",
)


def count_lines(text: str) -> int:
    """Return how many lines of code one reading runs. tests/test_patterns.py counts steps of expressions."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        with suppress(InvalidInput, TooLarge):
            parse_report(text, MOST)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("name", TEXTS)
def test_read_hostile_text_takes_linear_steps(name: str) -> None:
    short, long = count_lines(TEXTS[name](SHORT)), count_lines(TEXTS[name](LONG))
    assert long < GROWTH * max(short, 1000)


@pytest.mark.parametrize("start", STARTS)
def test_read_endless_line_of_any_kind_takes_linear_steps(start: str) -> None:
    for unit in UNITS:
        short, long = (count_lines(start + unit * (size // len(unit))) for size in (SHORT // 4, LONG // 4))
        assert long < GROWTH * max(short, 1000), repr(unit)


@pytest.mark.parametrize("start", STARTS)
def test_read_a_megabyte_of_any_kind_ends(start: str) -> None:
    """A text that takes quadratic steps would not end within hours."""
    for text in (start * (MEGABYTE // len(start)), start + "a" * MEGABYTE, start + " " * MEGABYTE):
        with suppress(InvalidInput, TooLarge):
            parse_report(text, MOST)


@pytest.mark.parametrize(
    "text",
    [
        "#" + "9" * 5000 + " 0x1 in a",
        "Thread 0\n " + "9" * 5000 + "  a + 0x1\nLoaded modules:\n",
        "Module|a|b|c|d\n" + "9" * 5000 + "|" + "9" * 5000 + "|a|b|c|1|0x1\n",
        IMAGE + "9" * 5000 + " a 0x00000001 b\n",
        "#1 0x" + "f" * 5000 + " in ??",
        "a.so " + GUID + " 0x" + "f" * 17,
        json.dumps({"memoryMap": [["a", GUID]], "stacks": 5}),
        '{"memoryMap": [["a", "1"]], "stacks": [7, {"a": 1}, null]}',
    ],
)
def test_read_impossible_numbers_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_report(text, MOST)


@pytest.mark.parametrize("offset", ["-5", "true", "36893488147419103232", '"0x1ffffffffffffffff"'])
def test_read_invalid_offset_counts_as_0(offset: str) -> None:
    text = f'{{"memoryMap": [["a", "{GUID}"]], "stacks": [[[0, {offset}], [0, 16]]]}}'
    assert parse_report(text, MOST).threads[0].frames == (ReportFrame(0, 0), ReportFrame(0, 16))


@pytest.mark.parametrize("text", ["0x" + "f" * 17, -1, ADDRESSES, True, None, 1.5, "", "x"])
def test_parse_address_invalid_value_raises(text: object) -> None:
    with pytest.raises(ValueError, match=r"not an address|invalid literal"):
        parse_address(text)


def test_parse_address_largest_value_is_accepted() -> None:
    assert parse_address("0x" + "f" * 16) == ADDRESSES - 1


def test_frame_address_is_in_the_nearest_module_before_it() -> None:
    low, high = ReportModule("low", "1"), ReportModule("high", "2")
    modules = ModuleTable([ModuleRange(0x100, 0, low), ModuleRange(0x200, 0x300, high)])
    assert [modules.frame(at) for at in (0xFF, 0x100, 0x1FF, 0x200, 0x2FF, 0x300)] == [
        ReportFrame(None, 0xFF),
        ReportFrame(0, 0),
        ReportFrame(0, 0xFF),
        ReportFrame(1, 0),
        ReportFrame(1, 0xFF),
        ReportFrame(None, 0x300),
    ]
