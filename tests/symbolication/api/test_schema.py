"""Validation of requests, with the error texts that clients of earlier systems match on."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.api.schema import Job, RequestLimits, v4_job, v5_jobs

LIMITS = RequestLimits(jobs=10, frames=100)
XUL = ["xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2"]


def job(**changes: Any) -> dict[str, Any]:
    return {"memoryMap": [XUL], "stacks": [[[0, 1]]]} | changes


def v5(payload: Any) -> list[Job]:
    return v5_jobs(orjson.dumps(payload), LIMITS)


def v4(payload: Any) -> Job:
    return v4_job(orjson.dumps(payload), LIMITS)


FRAMES = [
    ([{}], "Must be a list of lists"),
    (["ab"], "Must be a list of lists"),
    ([[{}]], "Must be a list of lists of lists"),
    ([["ab"]], "Must be a list of lists of lists"),
    ([[[0]]], "List of lists of frames must be 2 numbers"),
    ([[[0, 1, 2]]], "List of lists of frames must be 2 numbers"),
    ([[["0", 1]]], "Frame must be two integers"),
    ([[[0, "0x1"]]], "Frame must be two integers"),
    ([[[0, None]]], "Frame must be two integers"),
    ([[[0, 1.5]]], "Frame must be two integers"),
    ([[[False, 1]]], "Frame must be two integers"),
    ([[[0, True]]], "Frame must be two integers"),
    ([[[1, 1]]], "module index out of range"),
    ([[[-2, 1]]], "module index out of range"),
]


@pytest.mark.parametrize(("stacks", "text"), FRAMES)
def test_v5_jobs_bad_frames_are_refused(stacks: Any, text: str) -> None:
    for check in (
        lambda: v5({"jobs": [job(), job(stacks=stacks)]}),
        lambda: v4(job(stacks=stacks, version=4)),
    ):
        with pytest.raises(InvalidInput) as caught:
            check()
        assert str(caught.value) == text


@pytest.mark.parametrize("module", [5, "ab", {}, [], ["xul.pdb"], [*XUL, "third"]])
def test_v5_jobs_module_must_be_a_pair(module: Any) -> None:
    for check in (
        lambda: v5(job(memoryMap=[XUL, module])),
        lambda: v4(job(memoryMap=[XUL, module], version=4)),
    ):
        with pytest.raises(InvalidInput, match=r"^Must be a list of lists of size 2$"):
            check()


@pytest.mark.parametrize("read", [v5_jobs, v4_job])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b'{"jobs": NaN}', b"[" * 5000, b'"\\ud800"'])
def test_jobs_invalid_json_is_refused(read: Any, body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid JSON passed in$"):
        read(body, LIMITS)


@pytest.mark.parametrize("read", [v5_jobs, v4_job])
@pytest.mark.parametrize("body", [b"[]", b"1", b'"jobs"', b"null"])
def test_jobs_other_than_object_is_refused(read: Any, body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^Not a dict$"):
        read(body, LIMITS)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "Missing key in JSON ('jobs')"),
        ({"stacks": []}, "Missing key in JSON ('jobs')"),
        ({"jobs": []}, "Jobs list empty"),
        ({"jobs": None}, "Jobs list empty"),
        ({"jobs": {"a": 1}}, "Wrong type of value ('jobs' not a list)"),
        ({"jobs": 5}, "Wrong type of value ('jobs' not a list)"),
        ({"jobs": [5]}, "Wrong type of value (Job number 1 is not a dict)"),
        ({"jobs": [{"memoryMap": []}]}, "Missing key in JSON ('stacks')"),
        ({"jobs": [{"stacks": []}]}, "Missing key in JSON ('memoryMap')"),
        ({"jobs": [job(memoryMap={})]}, "Wrong type of value (Stack number 1 is 'memoryMap' not a list)"),
        ({"jobs": [job(), job(stacks={})]}, "Wrong type of value (Stack number 2 is 'stacks' not a list)"),
        (job(stacks=1), "Wrong type of value (Stack number 1 is 'stacks' not a list)"),
    ],
)
def test_v5_jobs_bad_document_is_refused(payload: Any, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        v5(payload)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"memoryMap": []}, "Missing key in JSON ('stacks')"),
        ({"stacks": []}, "Missing key in JSON ('memoryMap')"),
        (job(stacks={}, version=4), "Must be a list"),
        (job(memoryMap={}, version=4), "Must be a list"),
        (job(), "Expect version==4"),
        (job(version=5), "Expect version==4"),
        (job(version="4"), "Expect version==4"),
    ],
)
def test_v4_job_bad_document_is_refused(payload: Any, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        v4(payload)
    assert str(caught.value) == text


def test_v5_jobs_bare_job_is_a_list_of_one() -> None:
    assert v5(job(version=5)) == v5({"jobs": [job()]}) == [Job([("xul.pdb", XUL[1])], [[[0, 1]]])]


def test_v5_jobs_version_is_ignored() -> None:
    assert len(v5({"jobs": [job(version=4), job(version="x")], "version": 3})) == 2


def test_jobs_without_stacks_are_accepted() -> None:
    assert v5(job(memoryMap=[], stacks=[])) == [Job([], [])]
    assert v5(job(memoryMap=[], stacks=[[], []])) == [Job([], [[], []])]


def test_v5_jobs_extreme_offsets_are_accepted() -> None:
    frames = [[-1, 2**64 - 1], [0, -(2**63)], [0, 2**32]]
    assert v5(job(stacks=[frames]))[0].stacks == [frames]


def test_v5_jobs_non_string_name_counts_as_empty() -> None:
    odd = [[None, None], ["foo.so", 5], [{}, "AB"], [True, []], ["", ""]]
    (read,) = v5(job(memoryMap=odd, stacks=[]))
    assert read.modules == [("", ""), ("foo.so", ""), ("", "AB"), ("", ""), ("", "")]


def test_jobs_over_a_limit_name_the_limit() -> None:
    with pytest.raises(TooLarge, match=r"^Too many jobs: 11, at most 10 in one request$"):
        v5({"jobs": [job()] * 11})
    stack = [[0, 1]] * 51
    with pytest.raises(TooLarge, match=r"^Too many frames: 102, at most 100 in one request$"):
        v5({"jobs": [job(stacks=[stack]), job(stacks=[stack])]})
    assert v5({"jobs": [job(stacks=[[[0, 1]] * 10])] * 10})


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
NEARLY_JOBS = st.fixed_dictionaries(
    {}, optional={"memoryMap": JSON, "stacks": JSON, "version": JSON, "jobs": JSON}
)


@given(JSON | NEARLY_JOBS | st.lists(NEARLY_JOBS).map(lambda jobs: {"jobs": jobs}))
def test_jobs_arbitrary_json_is_accepted_or_refused(payload: Any) -> None:
    for read in (v5_jobs, v4_job):
        with suppress(InvalidInput):
            read(orjson.dumps(payload), LIMITS)
