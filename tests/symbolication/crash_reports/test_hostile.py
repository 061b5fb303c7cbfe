"""Texts that are crafted to take long or to overflow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import (
    ADDRESSES,
    ModuleRange,
    ModuleTable,
    ReportFrame,
    ReportModule,
    parse_address,
)

GUID = "44E4EC8C2F41492B9369D6B9A059577C2"
BUILD_ID = "1" * 32
MOST = 20_000
SHORT, LONG = 100_000, 400_000
GROWTH = 8
"""Largest factor in processor time for four times the text: 4 is linear, 16 is quadratic."""
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


def seconds(text: str) -> float:
    """Return the processor time of this thread for one reading."""
    began = time.thread_time()
    with suppress(InvalidInput, TooLarge):
        parse_report(text, MOST)
    return time.thread_time() - began


@pytest.mark.parametrize("name", TEXTS)
def test_read_hostile_text_takes_linear_time(name: str) -> None:
    short, long = TEXTS[name](SHORT), TEXTS[name](LONG)
    for _attempt in range(5):
        least = min(seconds(short) for _ in range(3))
        if seconds(long) < GROWTH * max(least, 0.001):
            return
    pytest.fail(f"{name}: {least} s for {SHORT} characters, and more than {GROWTH} times that for {LONG}")


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
