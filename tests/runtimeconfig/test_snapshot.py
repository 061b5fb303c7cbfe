from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import BadOption
from tecken.runtimeconfig.options import CATALOGUE, Options
from tecken.runtimeconfig.snapshot import (
    EMPTY,
    Entry,
    Snapshot,
    Subject,
    check_all,
    parse_rollout,
    parse_setting,
)
from tests.runtimeconfig.texts import NOW, refusal, texts_of

JOBS = "symbolicate_max_jobs"
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
TEN = datetime(2026, 11, 21, 22, tzinfo=UTC)
ALICE = Subject("r1", "alice@example.com", 12)

windows = st.tuples(st.integers(0, 20), st.none() | st.integers(1, 10)).map(
    lambda hours: (TEN + hours[0] * HOUR, None if hours[1] is None else TEN + (hours[0] + hours[1]) * HOUR)
)
keys = st.one_of(
    st.sampled_from([*CATALOGUE, "no_such_option"]),
    st.builds(lambda name, window: Entry(name, *window).key, st.sampled_from(list(CATALOGUE)), windows),
    st.text(st.characters()),
)
rollouts = st.sampled_from(["25%", "25% of users", "101%", "tokens 12 15", "users", "users a@b.c"])
texts = st.one_of(*[texts_of(option) for option in CATALOGUE.values()], rollouts, st.text(st.characters()))


def window(start: datetime, end: datetime | None = None, option: str = JOBS) -> str:
    return Entry(option, start, end).key


def jobs(one: Snapshot, now: datetime) -> int:
    return one.options(now).symbolicate_max_jobs


def accepted(key: str, text: str) -> bool:
    return not refusal(parse_setting, key, text)


class TestTexts:
    @given(st.dictionaries(keys, texts))
    def test_snapshot_bad_has_exactly_the_texts_that_the_check_refuses(self, given: dict[str, str]) -> None:
        one = Snapshot(7, "stamp", given)
        assert (one.version, one.stamp, dict(one.texts)) == (7, "stamp", given)
        assert one.bad.keys() == {key for key, text in given.items() if not accepted(key, text)}
        for now in (TEN - SECOND, NOW, TEN + 100 * HOUR):
            Options.model_validate(one.options(now, ALICE).model_dump())
            assert one.in_force(now).keys() <= CATALOGUE.keys()

    @given(keys, texts)
    def test_snapshot_accepted_text_is_in_force(self, key: str, text: str) -> None:
        if key in CATALOGUE and accepted(key, text):
            found = getattr(Snapshot(1, "", {key: text}).options(NOW), key)
            some = parse_rollout(text) if CATALOGUE[key].kind == "bool" else None
            assert found == (some.includes(key, None) if some else CATALOGUE[key].parse(text))

    def test_snapshot_invalid_text_has_its_error_and_the_default(self) -> None:
        one = Snapshot(1, "", {JOBS: "ten", "absent_seconds": "5m", "symbolicate_max_job": "3"})
        assert one.options(NOW) == Options(absent_seconds=300)
        assert dict(one.bad) == {
            JOBS: "symbolicate_max_jobs should be a whole number from 1 to 1000, not 'ten'",
            "symbolicate_max_job": (
                "there is no option 'symbolicate_max_job'; did you mean symbolicate_max_jobs?"
            ),
        }

    def test_snapshot_invalid_window_keeps_the_surrounding_value(self) -> None:
        one = Snapshot(1, "", {JOBS: "20", window(TEN): "0"})
        assert jobs(one, NOW) == 20

    def test_snapshot_is_immutable(self) -> None:
        given = {JOBS: "20"}
        one = Snapshot(1, "", given)
        given[JOBS] = "30"
        assert (jobs(one, NOW), one.texts[JOBS]) == (20, "20")
        with pytest.raises(TypeError):
            one.texts[JOBS] = "40"  # type: ignore[index]

    def test_snapshot_equal_options_are_one_object(self) -> None:
        one = Snapshot(1, "", {JOBS: "20", window(TEN, TEN + HOUR): "30"})
        assert one.options(TEN) is one.options(TEN + HOUR - SECOND, ALICE)
        assert one.options(TEN - HOUR) is one.options(TEN - SECOND, age=1)
        assert EMPTY.options(TEN) is EMPTY.options(NOW)


class TestCheckAll:
    def test_check_all_names_each_problem_on_a_line(self) -> None:
        with pytest.raises(BadOption) as caught:
            check_all({JOBS: "ten", "nope": "1", window(TEN): "20", "log_level": "loud", "nada": None})
        assert [line.partition(",")[0] for line in str(caught.value).splitlines()] == [
            "symbolicate_max_jobs should be a whole number from 1 to 1000",
            "there is no option 'nope'",
            "log_level should be one of DEBUG",
            "there is no option 'nada'",
        ]

    def test_check_all_accepts_valid_texts_and_none(self) -> None:
        check_all({JOBS: "20", "log_level": None, window(TEN): None})
        check_all({})

    def test_check_all_accepts_none_for_any_existing_entry(self) -> None:
        check_all({"an_option_that_is_no_more": None}, existing={"an_option_that_is_no_more"})

    @given(st.dictionaries(keys, texts))
    def test_check_all_refuses_exactly_the_invalid_texts(self, given: dict[str, str]) -> None:
        bad = sum(not accepted(key, text) for key, text in given.items())
        assert len(refusal(check_all, given).split("\n")) == max(bad, 1)
        assert bool(refusal(check_all, given)) == bool(bad)


class TestWindows:
    def test_window_is_in_force_from_start_until_end(self) -> None:
        one = Snapshot(1, "", {JOBS: "20", window(TEN, TEN + HOUR): "30"})
        moments = [TEN - SECOND, TEN, TEN + HOUR - SECOND, TEN + HOUR]
        assert [jobs(one, now) for now in moments] == [20, 30, 30, 20]

    def test_window_outside_of_it_the_default_is_in_force(self) -> None:
        one = Snapshot(1, "", {window(TEN, TEN + HOUR): "30"})
        assert [jobs(one, now) for now in (TEN - SECOND, TEN, TEN + HOUR)] == [10, 30, 10]

    def test_window_without_end_stays_in_force(self) -> None:
        one = Snapshot(1, "", {window(TEN): "30"})
        assert [jobs(one, now) for now in (TEN - SECOND, TEN, TEN + 1000 * HOUR)] == [10, 30, 30]

    def test_windows_overlapping_prefer_the_later_start(self) -> None:
        one = Snapshot(1, "", {window(TEN, TEN + 3 * HOUR): "30", window(TEN + HOUR, TEN + 2 * HOUR): "40"})
        assert [jobs(one, TEN + hours * HOUR) for hours in range(4)] == [30, 40, 30, 10]

    def test_windows_with_one_start_prefer_the_earlier_end(self) -> None:
        one = Snapshot(1, "", {window(TEN, TEN + HOUR): "40", window(TEN): "30"})
        assert [jobs(one, TEN + hours * HOUR) for hours in range(2)] == [40, 30]

    def test_windows_in_two_spellings_have_one_result_in_any_order(self) -> None:
        one, other = f"{JOBS}@2026-11-21T22:00:00Z/", f"{JOBS}@2026-11-21T23:00:00+01:00/"
        both = {one: "30", other: "40"}
        assert jobs(Snapshot(1, "", both), NOW) == jobs(Snapshot(1, "", dict(reversed(both.items()))), NOW)

    def test_in_force_returns_the_key_of_each_set_option(self) -> None:
        one = Snapshot(1, "", {JOBS: "20", window(TEN, TEN + HOUR): "30", "log_level": "loud"})
        assert one.in_force(TEN) == {JOBS: window(TEN, TEN + HOUR)}
        assert one.in_force(TEN + HOUR) == {JOBS: JOBS}

    @given(st.dictionaries(windows, st.integers(1, 1000), max_size=6), st.integers(-1, 40))
    def test_windows_equal_a_search_of_each_of_them(
        self, given: dict[tuple[datetime, datetime | None], int], hours: int
    ) -> None:
        now = TEN + hours * HOUR
        one = Snapshot(1, "", {window(*when): str(value) for when, value in given.items()})
        far = datetime.max.replace(tzinfo=UTC)
        holding = [
            (start, far - (end or far), value)
            for (start, end), value in given.items()
            if start <= now and (end is None or now < end)
        ]
        assert jobs(one, now) == (max(holding)[2] if holding else 10)


class TestRollouts:
    def test_rollout_is_on_for_its_subjects(self) -> None:
        one = Snapshot(1, "", {"full_tracing": "users alice@example.com"})
        bob = Subject("r2", "bob@example.com")
        assert [one.options(NOW, who).full_tracing for who in (ALICE, bob, None)] == [True, False, False]
        assert one.has_rollouts

    def test_rollouts_are_independent_and_cached(self) -> None:
        one = Snapshot(1, "", {"full_tracing": "tokens 12", "upload_convert_ahead": "tokens 15", JOBS: "20"})
        first, second = one.options(NOW, ALICE), one.options(NOW, Subject("r2", token=15))
        assert (first.full_tracing, first.upload_convert_ahead) == (True, False)
        assert (second.full_tracing, second.upload_convert_ahead) == (False, True)
        assert (first.symbolicate_max_jobs, second.symbolicate_max_jobs) == (20, 20)
        assert one.options(NOW, ALICE._replace(request="r9")) is first

    def test_rollout_in_a_window_ends_with_it(self) -> None:
        one = Snapshot(1, "", {window(TEN, TEN + HOUR, "full_tracing"): "100%"})
        assert [one.options(now).full_tracing for now in (TEN, TEN + HOUR)] == [True, False]

    def test_has_rollouts_without_rollouts_is_false(self) -> None:
        assert not EMPTY.has_rollouts
        assert not Snapshot(1, "", {"full_tracing": "on", JOBS: "25%"}).has_rollouts

    def test_rollout_of_another_option_than_bool_is_refused(self) -> None:
        with pytest.raises(BadOption, match="a whole number from 1 to 1000, not '25%'"):
            parse_setting(JOBS, "25%")
        parse_setting("maintenance_message", "100% of users are waiting")

    @pytest.mark.parametrize(
        ("text", "why"),
        [("101%", "from 0% to 100%"), ("tokens a", "by its number"), ("users", "the users should")],
    )
    def test_rollout_of_invalid_text_is_refused(self, text: str, why: str) -> None:
        allowed = "full_tracing should be on or off, or for some only, such as 25% of users"
        with pytest.raises(BadOption, match=f"^{allowed}, not '{text}' \\(.*{why}.*\\)$"):
            parse_setting("full_tracing", text)


class TestAge:
    PAST = 300.0

    def test_options_past_their_age_have_their_default(self) -> None:
        one = Snapshot(1, "", {"full_tracing": "on", "log_level": "DEBUG", JOBS: "20"})
        assert CATALOGUE["full_tracing"].past == self.PAST
        assert one.options(NOW, age=self.PAST).full_tracing
        stale = one.options(NOW, age=self.PAST + 0.001)
        assert (stale.full_tracing, stale.log_level) == (False, "INFO")
        # Other options have no age.
        assert stale.symbolicate_max_jobs == 20

    def test_rollout_past_its_age_returns_after_contact(self) -> None:
        one = Snapshot(1, "", {"full_tracing": "tokens 12"})
        ages = [0.0, self.PAST + 1, 0.0]
        assert [one.options(NOW, ALICE, age).full_tracing for age in ages] == [True, False, True]
