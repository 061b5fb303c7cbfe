"""Regular expressions take time in proportion to the text, also for the text that suits them least."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.patterns import Found, Unreadable, every_pattern
from tests.support.regex_steps import Matcher, TooManySteps, Way, worst_texts

LENGTH = 64
GROWTH = 3
"""Twice the text may take less than so many times the steps: 2 is linear, 4 quadratic."""
FEW = 8
"""Steps per character that are not looked at closer: n * n steps would be more, at LENGTH."""
BUDGET = 400
"""Steps per character at which a count ends."""

PATTERNS, UNREADABLE = every_pattern()
MADE_AT_RUN_TIME = {
    # Alternatives of literal texts.
    Unreadable("tecken.monitoring.logs", "'|'.join(map(re.escape, found))"),
}


def check(found: Found) -> None:
    """Raise AssertionError for a text at which the steps grow faster than the text."""
    matcher = Matcher(found.pattern)
    pairs = zip(worst_texts(matcher, LENGTH), worst_texts(matcher, 2 * LENGTH), strict=True)
    for text, longer in pairs:
        steps = counted(matcher, found.way, text)
        # A pattern of a fixed length has no text of LENGTH: the empty one takes a step, too.
        if steps > FEW * (len(text) + 1):
            more = counted(matcher, found.way, longer)
            assert more < GROWTH * steps, f"{steps} steps become {more}: {text!r}"


def counted(matcher: Matcher, way: Way, text: str) -> int:
    """Count, and compare what matched with what `re` finds."""
    try:
        steps, spans = matcher.count(text, BUDGET * (len(text) + 1), way)
    except TooManySteps:
        raise AssertionError(f"more than {BUDGET} steps per character: {text!r}") from None
    subject: Any = text.encode("latin-1") if isinstance(matcher.pattern.pattern, bytes) else text
    if way == "search":
        expected = [found.span() for found in matcher.pattern.finditer(subject) if found[0]]
    else:
        match = getattr(matcher.pattern, way)(subject)
        expected = [match.span()] if match else []
    assert spans == expected, f"the counter is wrong at {text!r}"
    return steps


@pytest.mark.parametrize("found", PATTERNS, ids=lambda found: f"{found.place}-{found.way}")
def test_pattern_on_its_worst_text_takes_linear_steps(found: Found) -> None:
    check(found)


@pytest.mark.parametrize(
    ("pattern", "way"),
    [
        (r"(a+)+b", "fullmatch"),
        (r"\s*(.*?)\s*", "fullmatch"),
        (r"(\d+)\s+(\S.*?)\s+(0x[0-9a-f]{8,})", "fullmatch"),
        (r"(?m)^\s*(0x[0-9a-f]+) -", "search"),
        (r"[\s|,]*[+|\s,:]\s*0x1", "fullmatch"),
        (r"(?<=://)[^\s]*@", "search"),
        (r"\b[\w-]*(?:password|secret)=", "search"),
        (r"0x1  (.+?)  .*\(WARNING, (.+), 1\)", "fullmatch"),
        (r"(?:a|ab?)*c", "fullmatch"),
        (r"\d+-", "search"),
    ],
)
def test_check_of_a_quadratic_pattern_fails(pattern: str, way: Way) -> None:
    with pytest.raises(AssertionError, match="steps"):
        check(Found("here", re.compile(pattern), way))


@pytest.mark.parametrize(
    ("pattern", "way"),
    [(r"\s*+(\S++(?: \S++)*+)", "fullmatch"), (r"(?:\d{1,15}-)+", "search"), (r"(\w+) (\w+)", "fullmatch")],
)
def test_check_of_a_linear_pattern_passes(pattern: str, way: Way) -> None:
    check(Found("here", re.compile(pattern), way))


def test_patterns_that_only_run_time_knows_are_listed_here() -> None:
    assert UNREADABLE == MADE_AT_RUN_TIME


def test_discovery_finds_patterns_of_code_urls_and_settings() -> None:
    places = {found.place.partition(":")[0] for found in PATTERNS}
    assert places >= {
        "tecken.symbolication.crash_reports.gdb",
        "tecken.symbols.formats.breakpad",
        "URLs",
        "settings.SECURE_REDIRECT_EXEMPT",
    }
    assert len(PATTERNS) > 100
