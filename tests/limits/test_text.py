from __future__ import annotations

import pytest

from tecken.errors import BadOption
from tecken.limits.port import Limit, parse_limit
from tecken.runtimeconfig.options import find_option

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("600 requests/minute per address", Limit("api", 600, "requests", "minute", "address")),
        ("10 requests / second per token", Limit("api", 10, "requests", "second", "token")),
        ("1000000 frames/day per token", Limit("api", 1_000_000, "frames", "day", "token")),
        ("20 MiB/month per user", Limit("api", 20 * MIB, "bytes", "month", "user")),
        ("7 bytes/hour per user", Limit("api", 7, "bytes", "hour", "user")),
    ],
)
def test_limit_of_a_valid_text_is_parsed(text: str, expected: Limit) -> None:
    assert parse_limit(text) == expected


WRONG = {
    "600 requests": "'600 requests' is not like 600 requests/minute per address",
    "600/minute per address": "is not like 600 requests/minute per address",
    "-1 requests/minute per address": "is not like",
    "1.5 requests/minute per address": "is not like",
    "0 requests/minute per address": "would allow nothing",
    "5 requests/day per address": "addresses are too many to be counted for a day",
    "5 MiB/day per user": "only requests and frames are counted there, no bytes",
    "5 requests/day per user, 6 requests/day per user": "requests/day per user is given twice",
}


@pytest.mark.parametrize("text", WRONG)
def test_limit_of_a_malformed_text_raises_a_sentence(text: str) -> None:
    with pytest.raises(BadOption, match=r"^limit_symbolicate should be limits with commas.*") as refused:
        find_option("limit_symbolicate").parse(text)
    assert WRONG[text] in str(refused.value)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("limit_symbolicate", "600 requests/minute per address, 100000 frames/day per token"),
        ("limit_upload", "20GiB/month per user"),
        ("limit_download", "600 requests/minute per address"),
        ("limit_api", ""),
    ],
)
def test_limit_as_text_is_parsed_to_the_same_limit(option: str, text: str) -> None:
    value = find_option(option).parse(text)
    assert find_option(option).format(value) == text
    assert find_option(option).parse(find_option(option).format(value)) == value


@pytest.mark.parametrize("option", ["limit_download", "limit_api"])
def test_check_of_a_unit_that_is_not_counted_raises(option: str) -> None:
    with pytest.raises(BadOption, match="only requests are counted there, no frames"):
        find_option(option).parse("5 frames/minute per address")
