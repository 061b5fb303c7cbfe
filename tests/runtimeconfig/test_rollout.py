from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import BadOption
from tecken.runtimeconfig.snapshot import Rollout, Subject, parse_rollout, position
from tests.runtimeconfig.texts import refusal

ALICE = Subject("r1", "alice@example.com", 12)
ANONYMOUS = Subject("r2")
OPTION = "full_tracing"
MANY = 4000

shares = st.integers(0, 10_000).map(lambda number: number / 100)
kinds = st.sampled_from(["requests", "users", "tokens"])


def made(text: str) -> Rollout:
    one = parse_rollout(text)
    assert one is not None
    return one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25%", Rollout("requests", 25, frozenset())),
        (" 0.5 % of requests ", Rollout("requests", 0.5, frozenset())),
        ("25% of users", Rollout("users", 25, frozenset())),
        ("100% of tokens", Rollout("tokens", 100, frozenset())),
        ("users Alice@Example.com, b@c.d", Rollout("users", 0, frozenset({"alice@example.com", "b@c.d"}))),
        ("tokens 12 015\n0", Rollout("tokens", 0, frozenset({"12", "15", "0"}))),
    ],
)
def test_parse_rollout_of_share_or_members(text: str, expected: Rollout) -> None:
    assert parse_rollout(text) == expected


@pytest.mark.parametrize("text", ["", "on", "true", "25", "usersa", "everybody"])
def test_parse_rollout_of_other_text_is_none(text: str) -> None:
    assert parse_rollout(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("101%", "from 0% to 100%"),
        ("9" * 400 + "%", "from 0% to 100%"),
        ("-1%", "a share is 25%, "),
        ("25% of cats", "25% of users"),
        ("%", "a share is"),
        ("users", "the users should"),
        ("tokens ,", "the tokens should"),
        ("tokens alice@example.com", "by its number"),
        ("tokens 1²", "by its number"),
    ],
)
def test_parse_rollout_of_invalid_text_raises(text: str, says: str) -> None:
    with pytest.raises(BadOption, match=says):
        parse_rollout(text)


@given(st.text(st.characters()))
def test_parse_rollout_of_any_text_returns_or_raises_bad_option(text: str) -> None:
    for one in (text, f"users {text}", f"tokens {text}", f"{text}%"):
        assert len(refusal(parse_rollout, one)) < 200


@given(st.text(), kinds, shares, shares)
def test_includes_at_a_share_implies_each_greater_share(one: str, kind: str, a: float, b: float) -> None:
    subject = Subject(one, one, 7)
    less, more = (made(f"{share}% of {kind}") for share in sorted((a, b)))
    assert less.includes(OPTION, subject) <= more.includes(OPTION, subject)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("requests", lambda i: Subject(request=f"id-{i}")),
        ("users", lambda i: Subject(user=f"{i}@example.com")),
        ("tokens", lambda i: Subject(token=i)),
    ],
)
@pytest.mark.parametrize("share", [0, 1, 25, 50, 99, 100])
def test_includes_is_true_for_the_share_of_ids(
    kind: str, subject: Callable[[int], Subject], share: int
) -> None:
    one = made(f"{share}% of {kind}")
    have = 100 * sum(one.includes(OPTION, subject(i)) for i in range(MANY)) / MANY
    # The ids are fixed, so the result is always the same.
    assert abs(have - share) < 3


def test_position_of_two_options_is_independent() -> None:
    first, second = ({i for i in range(MANY) if position(option, str(i)) < 50} for option in ("a", "b"))
    assert 0.4 < len(first & second) / len(first) < 0.6


def test_position_of_an_id_never_changes() -> None:
    assert [round(position(OPTION, one), 6) for one in ("r1", "alice@example.com", "12")] == [
        13.996882,
        78.543634,
        23.057452,
    ]


@pytest.mark.parametrize("subject", [None, ANONYMOUS, Subject(), ALICE])
def test_includes_100_percent_of_requests_is_always_true(subject: Subject | None) -> None:
    assert made("100%").includes(OPTION, subject)
    assert not made("0%").includes(OPTION, subject)


def test_includes_outside_a_request_is_false() -> None:
    texts = ["99.99%", "99.99% of users", "100% of users", "100% of tokens", "users a@b.c", "tokens 12"]
    assert [made(text).includes(OPTION, None) for text in texts] == [False] * len(texts)


def test_includes_subject_without_an_id_is_false() -> None:
    assert not made("100% of users").includes(OPTION, ANONYMOUS)
    assert not made("100% of tokens").includes(OPTION, ANONYMOUS)
    assert made("100% of tokens").includes(OPTION, Subject(token=0))


def test_includes_email_address_in_any_case_is_the_same() -> None:
    shouting = ALICE._replace(user="ALICE@EXAMPLE.COM")
    assert made("users Alice@example.com").includes(OPTION, shouting)
    for share in range(0, 101, 5):
        one = made(f"{share}% of users")
        assert one.includes(OPTION, ALICE) == one.includes(OPTION, shouting)


def test_includes_only_listed_members() -> None:
    one = made("tokens 12 15")
    assert [one.includes(OPTION, Subject(token=token)) for token in (12, 15, 1, 5, 125)] == [True, True] + [
        False
    ] * 3
