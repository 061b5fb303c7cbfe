from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db.models import Q

from tecken.errors import InvalidInput
from tecken.web import lists

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", {"size__exact": 512}),
        ("=512b", {"size__exact": 512}),
        (">=10MB", {"size__gte": 10 * MIB}),
        (" > 1.5 kB ", {"size__gt": 1536}),
        ("<2g", {"size__lt": 2048 * MIB}),
        ("<= 1TB", {"size__lte": MIB * MIB}),
        (">=999999999999999tb", {"size__gte": 2**63 - 1}),
    ],
)
def test_size_parses_units_and_operators(text: str, expected: dict[str, int]) -> None:
    assert lists.size("size", text) == Q(Q(**expected))


def test_size_combines_all_parts() -> None:
    assert lists.size("size", ">1kb,<=2kb") == Q(Q(size__gt=1024), Q(size__lte=2048))


@pytest.mark.parametrize("text", ["big", "10 XB", ">=", "-1", "1,,2", "1e3", "٣", "1.5.5", "=>1", "1\n2"])
def test_size_invalid_raises(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"size: .* is not a size; sizes look like"):
        lists.size("size", text)


def test_number_parses_operators() -> None:
    assert lists.number("count", ">=10") == Q(Q(count__gte=10))
    with pytest.raises(InvalidInput, match="count: '1kb' is not a number"):
        lists.number("count", "1kb")


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        ("today", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        ("yesterday", datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 12, 0, 0, 1, UTC)),
        (
            "2026-01-31T12:00+02:00",
            datetime(2026, 1, 31, 10, tzinfo=UTC),
            datetime(2026, 1, 31, 10, 0, 0, 1, UTC),
        ),
    ],
)
def test_parse_period_returns_day_or_moment(text: str, begin: datetime, end: datetime) -> None:
    assert lists.parse_period("created_at", text, date(2026, 3, 1)) == (begin, end)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "2026-01-31",
            {"at__gte": datetime(2026, 1, 31, tzinfo=UTC), "at__lt": datetime(2026, 2, 1, tzinfo=UTC)},
        ),
        (">=2026-01-31", {"at__gte": datetime(2026, 1, 31, tzinfo=UTC)}),
        (">2026-01-31", {"at__gte": datetime(2026, 2, 1, tzinfo=UTC)}),
        ("<2026-01-31", {"at__lt": datetime(2026, 1, 31, tzinfo=UTC)}),
        ("<=2026-01-31", {"at__lt": datetime(2026, 2, 1, tzinfo=UTC)}),
        ("null", {"at__isnull": True}),
        ("incomplete", {"at__isnull": True}),
    ],
)
def test_moment_compares_periods(text: str, expected: dict[str, object]) -> None:
    assert lists.moment("at", text) == Q(Q(**expected))


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-02-30", ">=null", "1", "9999-12-31", "2026-01-31T25:00", ""]
)
def test_moment_invalid_raises(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"at: .* is not a date; dates look like"):
        lists.moment("at", text)


def test_names_match_start_or_exactly() -> None:
    assert lists.start("key", "v1/xul") == Q(key__startswith="v1/xul")
    assert lists.exact("bucket_name", "ours") == Q(bucket_name="ours")
    assert lists.exact("bucket_name", "!ours") == ~Q(bucket_name="ours")


def test_identifier_matches_any_case() -> None:
    assert lists.identifier("debug_id", "44e4F") == Q(debug_id__in=["44E4F", "44e4F", "44e4f"])


def test_combine_filters_without_values_matches_all() -> None:
    texts = {"size": None, "key": "", "unknown": "x"}
    assert lists.combine_filters({"size": lists.size, "key": lists.start}, texts) == Q()
