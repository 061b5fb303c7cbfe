"""Exceptions: their texts, and what they do to the limits of a caller."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tecken.errors import BadOption
from tecken.limits.exceptions import apply_exceptions, find_exceptions, index_exceptions, parse_exception
from tecken.limits.port import Caller, Limit, parse_limit
from tecken.runtimeconfig.options import find_option

TODAY = date(2026, 12, 1)
DAILY = parse_limit("20 GiB/day per user", "upload")
HOURLY = parse_limit("5 requests/hour per user", "upload")
ADA = Caller("192.0.2.1", 12, "7")


def limits_of(caller: Caller, *texts: str, limits: tuple[Limit, ...] = (DAILY, HOURLY)) -> list[str]:
    exceptions = find_exceptions(index_exceptions(texts), "upload", caller)
    found = apply_exceptions(limits, exceptions, "closed", TODAY)
    return [f"{limit} {limit.without}" for limit in found]


@pytest.mark.parametrize(
    "text",
    [
        "upload 100 GiB/day per user 7",
        "upload 1025 bytes/month per token 12",
        "symbolicate 50 frames/minute per token 12 until 2026-12-31",
    ],
)
def test_exception_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_exception(text)) == text
    assert str(parse_exception("  ".join(text.split()))) == text


WRONG = {
    "100 GiB/day per user 7": "'100' is none of symbolicate, download, upload, api",
    "upload 100 GiB/day per user": "is not like upload 100 GiB/day per user 7 until 2026-12-31",
    "upload 100 GiB/day per user ada": "is not like",
    "store 1 requests/day per user 7": "'store' is none of symbolicate, download, upload, api",
    "upload 1 requests/minute per address 7": "exceptions are for a user or a token, not an address",
    "upload 0 requests/minute per user 7": "would allow nothing",
    "download 1 GiB/day per user 7": "only requests of download are counted, no bytes",
    "api 1 requests/day per user 7 until tomorrow": "'tomorrow' is not a day, such as 2026-12-31",
    "api 1 requests/day per user 7, api 2 requests/day per user 07": "api requests-day-user 7 is given twice",
}


@pytest.mark.parametrize("text", WRONG)
def test_exception_of_a_malformed_text_raises_a_sentence(text: str) -> None:
    with pytest.raises(BadOption) as refused:
        find_option("limit_exceptions").parse(text)
    assert WRONG[text] in str(refused.value)


def test_exception_replaces_the_limit_of_its_name_only() -> None:
    assert limits_of(ADA, "upload 100 GiB/day per user 7") == [
        f"{HOURLY} open",
        f"{100 << 30} bytes/day per user closed",
    ]


def test_exception_without_a_limit_of_its_name_is_added() -> None:
    assert limits_of(ADA, "upload 3 requests/day per token 12", limits=()) == [
        "3 requests/day per token closed"
    ]


@pytest.mark.parametrize(
    ("caller", "text"),
    [
        (Caller("192.0.2.1"), "upload 1 GiB/day per user 7"),
        (Caller("192.0.2.1", 12, "8"), "upload 1 GiB/day per user 7"),
        (ADA, "api 1 requests/day per user 7"),
        (ADA, "upload 1 GiB/day per user 7 until 2026-11-30"),
    ],
)
def test_exception_of_another_caller_scope_or_time_changes_nothing(caller: Caller, text: str) -> None:
    assert limits_of(caller, text) == [f"{DAILY} open", f"{HOURLY} open"]


def test_exception_holds_on_its_last_day() -> None:
    item = parse_exception(f"api 1 requests/day per user 7 until {TODAY}")
    assert item.holds(TODAY)
    assert not item.holds(TODAY + timedelta(1))
