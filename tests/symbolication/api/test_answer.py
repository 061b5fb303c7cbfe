"""Rendering of responses from values."""

from __future__ import annotations

import orjson
import pytest

from tecken.errors import TooLarge
from tecken.symbolication.api.answer import V4, V5, ApiVersion, Failure, JobModule, Resolved
from tecken.symbolication.api.schema import Job
from tecken.symbols.lookup import Frame, Inline

XUL = ("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
MAIN = Frame(
    "XREMain::XRE_mainRun()",
    0xB2E3F0,
    "toolkit/xre/nsAppRunner.cpp",
    4724,
    (Inline("deepest", "a.h", 12), Inline("middle", "b.h", 0), Inline("outer", "", 3)),
)


def v5_fields(frame: Frame | None, offset: int = 0xB2E3F7) -> object:
    return orjson.loads(b"{" + V5().fragment(offset, frame))


def test_v5_fragment_full_frame_has_all_fields() -> None:
    assert V5().fragment(0xB2E3F7, MAIN) == (
        b'"module_offset":"0xb2e3f7","function":"XREMain::XRE_mainRun()","function_offset":"0x7",'
        b'"file":"toolkit/xre/nsAppRunner.cpp","line":4724,'
        b'"inlines":[{"function":"deepest","file":"a.h","line":12},{"function":"middle","file":"b.h"},'
        b'{"function":"outer"}]}'
    )


@pytest.mark.parametrize(
    ("frame", "known"),
    [
        (None, {}),
        (Frame("", 1, "a.c", 2), {}),
        (Frame("f", 0xB2E3F7, "", 0), {"function": "f", "function_offset": "0x0"}),
        (Frame("f", 0xB2E3F7, "", 7), {"function": "f", "function_offset": "0x0"}),
        (Frame("f", 0xB2E3F7, "a.c", 0), {"function": "f", "function_offset": "0x0", "file": "a.c"}),
    ],
)
def test_v5_fragment_unknown_fields_are_left_out(frame: Frame | None, known: dict[str, object]) -> None:
    assert v5_fields(frame) == {"module_offset": "0xb2e3f7"} | known


@pytest.mark.parametrize(("offset", "text"), [(-5, "-0x5"), (0, "0x0"), (2**64 - 1, "0xffffffffffffffff")])
def test_v5_fragment_offset_is_hexadecimal(offset: int, text: str) -> None:
    assert v5_fields(None, offset) == {"module_offset": text}


def test_v5_fragment_function_size_follows_the_offset() -> None:
    assert V5().fragment(0x17, Frame("f", 0x10, "a.c", 7, size=0x9A)) == (
        b'"module_offset":"0x17","function":"f","function_offset":"0x7","function_size":"0x9a",'
        b'"file":"a.c","line":7}'
    )


@pytest.mark.parametrize("version", [V4(), V5()])
def test_answer_limit_is_its_exact_size(version: ApiVersion) -> None:
    answer = version.answer([resolved(version)])
    assert version.answer([resolved(version)], sum(map(len, answer))) == answer
    with pytest.raises(TooLarge, match="more than 50 bytes"):
        version.answer([resolved(version)], 50)


def test_v4_fragment_is_the_function_or_the_offset() -> None:
    assert V4().fragment(0x1010A, None) == b'"0x1010a'
    assert V4().fragment(0xB2E3F7, MAIN) == b'"XREMain::XRE_mainRun()'


def resolved(version: ApiVersion) -> Resolved:
    job = Job(
        [XUL, ("wntdll.pdb", "D74F"), ("unused.so", "AB"), ("", "")],
        [[[0, 0xB2E3F7], [-1, 5], [1, 0x1010A]], [], [[0, 0xB2E3F7], [3, 1]]],
    )
    failure = Failure("Throttled", "asked too often")
    modules = {
        0: JobModule({0xB2E3F7: version.fragment(0xB2E3F7, MAIN)}, True, code_file='x"ul.dll'),
        -1: JobModule({5: version.fragment(5, None)}),
        1: JobModule({0x1010A: version.fragment(0x1010A, None)}, False, failure),
        3: JobModule({1: version.fragment(1, None)}),
    }
    return Resolved(job, modules)


def test_v5_answer_two_jobs_has_results_in_order() -> None:
    answer = orjson.loads(b"".join(V5().answer([resolved(V5())] * 2)) + b"}")
    assert len(answer["results"]) == 2
    result = answer["results"][1]
    assert list(result) == ["stacks", "found_modules", "module_errors"]
    assert result["found_modules"] == {
        "/".join(XUL): True,
        "wntdll.pdb/D74F": False,
        "unused.so/AB": None,
        "/": None,
    }
    assert result["module_errors"] == {
        "wntdll.pdb/D74F": [{"name": "Throttled", "message": "asked too often"}]
    }
    first, empty, second = result["stacks"]
    assert [(frame["frame"], frame["module"], frame["module_offset"]) for frame in first] == [
        (0, 'x"ul.dll', "0xb2e3f7"),
        (1, "<unknown>", "0x5"),
        (2, "wntdll.pdb", "0x1010a"),
    ]
    assert list(first[0])[:3] == ["frame", "module", "module_offset"]
    assert empty == []
    assert second[0] == first[0]
    assert second[1] == {"frame": 1, "module": "", "module_offset": "0x1"}


def test_v4_answer_one_job_has_stacks_and_modules() -> None:
    assert orjson.loads(b"".join(V4().answer([resolved(V4())])) + b"}") == {
        "symbolicatedStacks": [
            ["XREMain::XRE_mainRun() (in xul.pdb)", "0x5 (in <unknown>)", "0x1010a (in wntdll.pdb)"],
            [],
            ["XREMain::XRE_mainRun() (in xul.pdb)", "0x1 (in )"],
        ],
        "knownModules": [True, False, None, None],
        "module_errors": {"wntdll.pdb/D74F": [{"name": "Throttled", "message": "asked too often"}]},
    }


def test_answer_overlong_name_is_cut_in_frames_only() -> None:
    name = "x" * 5000
    job = Job([(name, "AB")], [[[0, 1]]])
    pieces = V5().answer([Resolved(job, {0: JobModule({1: V5().fragment(1, None)}, False)})])
    answer = orjson.loads(b"".join(pieces) + b"}")
    (result,) = answer["results"]
    assert result["stacks"][0][0]["module"] == "x" * 1024
    assert result["found_modules"] == {f"{name}/AB": False}
