from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from symbolic.debuginfo import Archive

from tecken.errors import Pending, Throttled, TooLarge, Unavailable
from tecken.store.port import Missing
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.api.schema import Job, RequestLimits, Spelling, v5_jobs
from tecken.symbolication.conversion.status import EarlyFrames
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts, symbolicate
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.convert import PageFileWriter
from tests.symbolication.memory import (
    CPP,
    RUST,
    SAMPLES,
    C,
    MemoryConversionQueue,
    MemoryModules,
    page_file,
    sample,
)

pytestmark = pytest.mark.usefixtures("each_form")

# Offset inside a function of the C sample.
IN_C = 4613
LIBC = ObjectId("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")
ABSENT = Missing("absent", "no source has it")
FILES = {module: page_file(sample(module)) for module in (C, CPP, RUST)}


def job_of(modules: Sequence[ObjectId | Spelling], stacks: list[list[list[int]]]) -> Job:
    """Return a job whose modules may be objects."""
    named = ((it.debug_file, it.debug_id) if isinstance(it, ObjectId) else it for it in modules)
    return Job(list(named), stacks)


class Server:
    def __init__(self) -> None:
        self.modules = MemoryModules(dict(FILES))
        self.cold = MemoryConversionQueue(self.modules)
        self.parts = Parts(self.modules, self.cold, FrameCache(1 << 20), 15.0, lambda: 1000.0)

    def ask(self, *jobs: Job, version: ApiVersion | None = None, debug: bool = False) -> Any:
        return orjson.loads(symbolicate(self.parts, version or V5(), jobs, debug=debug))

    def v5(self, modules: Sequence[ObjectId | Spelling], *frames: list[int]) -> Any:
        (result,) = self.ask(job_of(modules, [list(frames)]))["results"]
        return result


@pytest.fixture
def server() -> Server:
    return Server()


def functions(result: Any) -> list[str | None]:
    return [frame.get("function") for stack in result["stacks"] for frame in stack]


def oracle(module: ObjectId) -> Any:
    path = SAMPLES / module.debug_file / module.debug_id / f"{module.debug_file}.sym"
    return Archive.open(str(path)).get_object(arch="x86_64").make_symcache()


@pytest.mark.parametrize("module", [C, CPP, RUST])
def test_symbolicate_sample_modules_gives_the_frames_of_symbolic(module: ObjectId, server: Server) -> None:
    cache = oracle(module)
    offsets = range(0x1000, 0x2400)
    result = server.v5([module], *[[0, offset] for offset in offsets])
    for offset, frame in zip(offsets, result["stacks"][0], strict=True):
        found = cache.lookup(offset)
        if not found:
            assert "function" not in frame
            continue
        *inlined, outer = found
        assert (frame["function"], frame["function_offset"]) == (outer.symbol, hex(offset - outer.sym_addr))
        assert (frame.get("file"), frame.get("line", 0)) == (outer.full_path, outer.line)
        calls = [
            (call["function"], call.get("file"), call.get("line", 0)) for call in frame.get("inlines", [])
        ]
        assert calls == [(call.symbol, call.full_path, call.line) for call in inlined]


def test_symbolicate_sample_stack_gives_its_known_functions(server: Server) -> None:
    server.cold.answers[LIBC] = ABSENT
    jobs = v5_jobs((SAMPLES / "stack.json").read_bytes(), RequestLimits(10, 100))
    (result,) = server.ask(*jobs)["results"]
    (stack,) = result["stacks"]
    assert [frame["frame"] for frame in stack] == list(range(12))
    assert [frame["module_offset"] for frame in stack] == [hex(offset) for _, offset in jobs[0].stacks[0]]
    assert result["found_modules"] == {str(RUST): True, str(CPP): True, str(C): True, str(LIBC): False}
    assert result["module_errors"] == {}


def test_symbolicate_warm_request_reads_headers_only(server: Server) -> None:
    job = job_of([C, CPP, RUST], [[[0, IN_C], [1, 6493], [2, 5665]] * 2])
    first = server.ask(job)
    assert server.modules.trips == ["headers", "pages", "pages"]
    assert server.ask(job) == first
    assert server.modules.trips == ["headers", "pages", "pages", "headers"]


def test_symbolicate_v4_gives_the_functions_of_v5(server: Server) -> None:
    server.cold.answers[LIBC] = ABSENT
    job = job_of(
        [C, CPP, LIBC, RUST], [[[i, offset] for offset in range(0x1100, 0x1400, 7)] for i in (-1, 0, 1, 2)]
    )
    five = server.ask(job)["results"][0]
    four = server.ask(job, version=V4())
    names = {-1: "<unknown>"} | {i: module[0] for i, module in enumerate(job.modules)}
    for stack, frames, texts in zip(job.stacks, five["stacks"], four["symbolicatedStacks"], strict=True):
        for (index, offset), frame, text in zip(stack, frames, texts, strict=True):
            assert text == f"{frame.get('function', hex(offset))} (in {names[index]})"
    assert four["knownModules"] == [five["found_modules"][str(module)] for module in (C, CPP, LIBC, RUST)]
    assert four["knownModules"] == [True, True, False, None]
    assert four["module_errors"] == {}


def test_symbolicate_two_jobs_reports_modules_per_job(server: Server) -> None:
    server.cold.answers[LIBC] = ABSENT
    first = job_of([C, CPP], [[[0, IN_C]]])
    second = job_of([C, LIBC], [[[0, IN_C], [1, 1]]])
    results = server.ask(first, second)["results"]
    assert [result["found_modules"] for result in results] == [
        {str(C): True, str(CPP): None},
        {str(C): True, str(LIBC): False},
    ]
    assert results[0]["stacks"][0][0] == results[1]["stacks"][0][0]


def test_symbolicate_duplicate_module_in_a_map_is_loaded_once(server: Server) -> None:
    result = server.v5([C, C], [1, IN_C])
    assert result["found_modules"] == {str(C): True}
    job = job_of([C, C], [[[1, IN_C]]])
    assert server.ask(job, version=V4())["knownModules"] == [True, True]


def test_symbolicate_lower_case_debug_id_keeps_its_spelling(server: Server) -> None:
    lower = (C.debug_file, C.debug_id.lower())
    result = server.v5([lower, C], [0, IN_C], [1, IN_C])
    assert result["found_modules"] == {"/".join(lower): True, str(C): True}
    assert functions(result) == ["by_price", "by_price"]


def test_symbolicate_known_code_file_names_the_module(server: Server) -> None:
    xul = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
    text = f"MODULE windows x86 {xul.debug_id} xul.pdb\nINFO CODE_ID 5AB380779000 xul.dll\nFUNC 1000 10 0 f\n"
    server.modules.files[xul] = page_file(text.encode())
    result = server.v5([xul, C], [0, 0x1001], [0, 1], [1, IN_C])
    assert [frame["module"] for frame in result["stacks"][0]] == ["xul.dll", "xul.dll", "crash-c"]


@pytest.mark.parametrize("offset", [-1, -(2**63), 2**32, 2**32 + IN_C, 2**64 - 1, 0])
def test_symbolicate_offset_outside_functions_has_no_function(offset: int, server: Server) -> None:
    result = server.v5([C], [0, offset])
    assert result["stacks"] == [[{"frame": 0, "module": "crash-c", "module_offset": hex(offset)}]]
    assert result["found_modules"] == {str(C): True}


def test_symbolicate_address_outside_modules_is_unknown(server: Server) -> None:
    result = server.v5([C], [-1, 0x77], [0, IN_C])
    assert result["stacks"][0][0] == {"frame": 0, "module": "<unknown>", "module_offset": "0x77"}
    assert functions(result) == [None, "by_price"]


@pytest.mark.parametrize("module", [("", ""), ("foo.pdb", ""), ("", C.debug_id)])
def test_symbolicate_empty_name_or_id_is_not_looked_up(module: Spelling, server: Server) -> None:
    result = server.v5([module], [0, 1])
    assert result["found_modules"] == {"/".join(module): None}
    assert result["module_errors"] == {}
    assert result["stacks"][0][0]["module"] == module[0]


def test_symbolicate_empty_job_gives_an_empty_result(server: Server) -> None:
    assert server.v5([C])["stacks"] == [[]]
    assert server.ask(job_of([], [])) == {
        "results": [{"stacks": [], "found_modules": {}, "module_errors": {}}]
    }


BAD = [
    ("a/b.so", C.debug_id),
    ("x" * 1025, C.debug_id),
    ("tab\t.so", C.debug_id),
    ("nul\0.so", C.debug_id),
    ("..", C.debug_id),
    (C.debug_file, "not hex"),
    (C.debug_file, "AB"),
    (C.debug_file, C.debug_id * 9),
]


@pytest.mark.parametrize("bad", BAD)
def test_symbolicate_bad_module_fails_alone(bad: Spelling, server: Server) -> None:
    result = server.v5([bad, C], [0, 1], [1, IN_C])
    assert result["found_modules"] == {"/".join(bad): False, str(C): True}
    ((error,),) = [result["module_errors"].pop("/".join(bad))]
    assert error["name"] == "BadModule"
    assert error["message"]
    assert result["module_errors"] == {}
    assert functions(result) == [None, "by_price"]
    assert server.v5([bad], [0, 1])["found_modules"] == {"/".join(bad): False}


def test_symbolicate_unreferenced_bad_module_is_ignored(server: Server) -> None:
    result = server.v5([*BAD, C], [len(BAD), IN_C])
    assert result["module_errors"] == {}
    assert set(result["found_modules"].values()) == {None, True}


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        (ABSENT, []),
        (Missing("malformed", "no MODULE record"), [{"name": "Malformed", "message": "no MODULE record"}]),
        (Missing("unreachable", "HTTP 500"), [{"name": "CouldNotAsk", "message": "HTTP 500"}]),
        (Throttled("slow down", 60), [{"name": "Throttled", "message": "slow down"}]),
        (Pending("not yet", 5), [{"name": "Pending", "message": "not yet"}]),
    ],
)
def test_symbolicate_module_without_symbols_fails_alone(
    answer: Missing | Unavailable, errors: list[dict[str, str]], server: Server
) -> None:
    server.cold.answers[LIBC] = answer
    result = server.v5([C, LIBC], [1, 260848], [0, IN_C])
    assert result["found_modules"] == {str(C): True, str(LIBC): False}
    assert result["module_errors"].get(str(LIBC), []) == errors
    assert result["stacks"][0][0] == {"frame": 0, "module": "libc.so.6", "module_offset": "0x3faf0"}
    assert functions(result) == [None, "by_price"]


def test_symbolicate_all_modules_unavailable_raises(server: Server) -> None:
    server.cold.answers = {LIBC: Throttled("slow down", 60), C: Pending("not yet", 5)}
    server.modules.files.clear()
    job = job_of([LIBC, C, ("", ""), BAD[0]], [[[-1, 1], [0, 1], [1, 1], [2, 1], [3, 1]]])
    with pytest.raises(Unavailable, match=r"^None of 2 modules could be read: slow down$") as caught:
        server.ask(job)
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("answer", [ABSENT, Missing("malformed", "no")])
def test_symbolicate_definite_missing_result_does_not_raise(answer: Missing, server: Server) -> None:
    server.cold.answers = {LIBC: answer, C: Pending("not yet")}
    del server.modules.files[C]
    assert server.v5([LIBC, C], [0, 1], [1, 1])["found_modules"] == {str(LIBC): False, str(C): False}


def test_symbolicate_missing_marker_starts_no_conversion(server: Server) -> None:
    server.modules.missing[LIBC] = ABSENT
    assert server.v5([LIBC], [0, 1])["found_modules"] == {str(LIBC): False}
    assert server.cold.deadlines == []


def test_symbolicate_cold_module_is_converted_before_the_deadline(server: Server) -> None:
    server.cold.brings[C] = server.modules.files.pop(C)
    result = server.v5([C, CPP], [0, IN_C], [1, 6493])
    assert result["found_modules"] == {str(C): True, str(CPP): True}
    assert server.modules.trips == ["headers", "headers", "pages", "pages"]
    assert server.cold.deadlines == [1015.0]


def test_symbolicate_converted_module_that_disappears_is_pending(server: Server) -> None:
    result = server.v5([LIBC, C], [0, 1], [1, IN_C])
    assert [error["name"] for error in result["module_errors"][str(LIBC)]] == ["Pending"]


def test_symbolicate_unreadable_pages_fail_their_module_only(server: Server) -> None:
    server.modules.unreadable[CPP] = Missing("unreachable", "no answer in 10 s")
    result = server.v5([C, CPP], [0, IN_C], [1, 6493])
    assert result["found_modules"] == {str(C): True, str(CPP): False}
    assert result["module_errors"] == {str(CPP): [{"name": "CouldNotAsk", "message": "no answer in 10 s"}]}
    assert functions(result) == ["by_price", None]
    with pytest.raises(Unavailable, match="no answer in 10 s"):
        server.v5([CPP], [0, 6493])


def file_with_name(name: str) -> Any:
    return page_file(sample(C).replace(b" by_price\n", f" {name}\n".encode()))


def test_symbolicate_page_file_replaced_once_is_read_again(server: Server) -> None:
    server.modules.replacements[C] = [file_with_name("newer")]
    assert functions(server.v5([C, CPP], [0, IN_C]))[0] == "newer"


def test_symbolicate_page_file_replaced_repeatedly_fails_alone(server: Server) -> None:
    server.modules.replacements[C] = [file_with_name(str(i)) for i in range(9)]
    result = server.v5([C, CPP], [0, IN_C], [1, 6493])
    assert result["found_modules"] == {str(C): False, str(CPP): True}
    assert result["module_errors"][str(C)][0]["name"] == "CouldNotAsk"


def test_symbolicate_debug_reports_the_cost(server: Server) -> None:
    server.cold.answers[LIBC] = ABSENT
    job = job_of([C, LIBC], [[[0, IN_C], [0, 5], [-1, 7]], [[1, 1]]])
    debug = server.ask(job, debug=True)["debug"]
    assert 0 < debug.pop("time") < 60
    assert debug == {
        "stacks": {"count": 4, "real": 3},
        "modules": {"count": 2, "stacks_per_module": {str(C): 2, str(LIBC): 1}},
        "cache_lookups": {"count": 0, "hits": 0, "time": 0.0},
        "downloads": {"count": 0, "size": 0, "time": 0, "size_per_module": {}, "time_per_module": {}},
        "parse_sym": {"time": 0, "time_per_module": {}},
        "pages": {"process": 0, "store": 3, "page_file": 0},
        "missing": {str(LIBC): ABSENT.reason},
    }
    assert "debug" in server.ask(job, version=V4(), debug=True)
    assert "debug" not in server.ask(job)


ZERO = ObjectId("zero.so", "0" * 33)


@pytest.mark.parametrize("debug_id", ["0" * 32, "0" * 33, "0" * 32 + "1A"])
@pytest.mark.parametrize("version", [V5(), V4()])
def test_symbolicate_debug_id_of_zeros_is_not_looked_up(
    server: Server, debug_id: str, version: ApiVersion
) -> None:
    server.modules.files[ZERO] = page_file(f"MODULE Linux x86 {debug_id} zero.so\nFUNC 10 8 0 f\n".encode())
    answer = server.ask(job_of([("zero.so", debug_id), C], [[[0, 0x10], [1, IN_C]]]), version=version)
    result = answer["results"][0] if version.name == "v5" else answer
    assert result["module_errors"] == {
        f"zero.so/{debug_id}": [
            {
                "name": "BadModule",
                "message": "a debug id of zeros is shared by many builds and never looked up",
            }
        ]
    }
    if version.name == "v5":
        assert functions(result) == [None, "by_price"]
        assert result["found_modules"] == {f"zero.so/{debug_id}": False, str(C): True}
    else:
        assert result["symbolicatedStacks"] == [["0x10 (in zero.so)", "by_price (in crash-c)"]]
        assert result["knownModules"] == [False, True]


def test_symbolicate_debug_id_of_32_digits_has_age_0(server: Server) -> None:
    without_age = (C.debug_file, C.debug_id[:-1])
    result = server.v5([without_age], [0, IN_C])
    assert functions(result) == ["by_price"]
    assert result["found_modules"] == {"/".join(without_age): True}


class Ticks:
    """Clock that advances by a second with each call."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_symbolicate_offsets_after_the_deadline_have_a_reason(server: Server) -> None:
    server.parts = server.parts._replace(seconds=15.0, clock=Ticks())
    offsets = list(range(IN_C, IN_C + 20))
    job = job_of([C, CPP], [[[0, offset] for offset in offsets] + [[1, 6493]]])
    (result,) = server.ask(job)["results"]
    named = [name for name in functions(result) if name]
    assert 0 <= len(named) < len(offsets)
    assert [frame["module_offset"] for frame in result["stacks"][0]] == [*map(hex, offsets), hex(6493)]
    assert result["found_modules"] == {str(C): False, str(CPP): False}
    assert {key: errors[0]["name"] for key, errors in result["module_errors"].items()} == {
        str(C): "Pending",
        str(CPP): "Pending",
    }


def test_symbolicate_repeated_after_the_deadline_continues(server: Server) -> None:
    clock = Ticks()
    late = server.parts._replace(seconds=15.0, clock=clock)
    job = job_of([C], [[[0, offset] for offset in range(IN_C, IN_C + 9)]])
    assert orjson.loads(symbolicate(late, V5(), [job]))["results"][0]["found_modules"] == {str(C): False}
    answers = [orjson.loads(symbolicate(late, V5(), [job])) for _ in range(3)]
    assert answers[-1]["results"][0]["found_modules"] == {str(C): True}
    assert answers[-1] == server.ask(job)


def test_symbolicate_without_waiting_resolves_warm_modules(server: Server) -> None:
    server.parts = server.parts._replace(seconds=0.0)
    assert functions(server.v5([C], [0, IN_C])) == ["by_price"]


DEEP = ObjectId("deep.so", "000000000000000000000000000000AA0")


def deep(server: Server) -> None:
    """Return a server with a module where each offset is in 200 inlined calls with names of 8,000 bytes."""
    head = b"MODULE Linux x86 %b deep.so\nINLINE_ORIGIN 0 %b\n" % (DEEP.debug_id.encode(), b"n" * 8000)
    calls = b"".join(b"INLINE %d 1 0 0 1000 100\n" % i for i in range(200))
    server.modules.files[DEEP] = page_file(head + b"FUNC 1000 100 0 f\n" + calls)


@pytest.mark.parametrize(("offsets", "repeats"), [(40, 1), (1, 40)])
def test_symbolicate_response_over_its_limit_raises(server: Server, offsets: int, repeats: int) -> None:
    deep(server)
    server.parts = server.parts._replace(max_answer_bytes=10_000_000)
    stack = [[0, 0x1000 + i] for i in range(offsets)] * repeats
    with pytest.raises(TooLarge, match="more than 10000000 bytes"):
        server.ask(job_of([DEEP], [stack]))
    assert functions(server.v5([DEEP], [0, 0x1000])) == ["f"]


def test_symbolicate_v4_response_size_excludes_inlined_calls(server: Server) -> None:
    deep(server)
    server.parts = server.parts._replace(max_answer_bytes=10_000)
    answer = server.ask(job_of([DEEP], [[[0, 0x1000]] * 40]), version=V4())
    assert answer["symbolicatedStacks"] == [["f (in deep.so)"] * 40]


def test_symbolicate_response_size_includes_module_names(server: Server) -> None:
    server.parts = server.parts._replace(max_answer_bytes=10_000)
    job = job_of([("x" * 1024, "no id")], [[[0, 1]] * 40])
    for version in (V4(), V5()):
        with pytest.raises(TooLarge):
            server.ask(job, version=version)


def test_symbolicate_two_spellings_of_a_windows_module_are_one_module_with_two_keys(server: Server) -> None:
    module = ObjectId("Foo.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
    server.modules.files[module] = page_file(sample(C))
    spellings = [("Foo.pdb", module.debug_id), ("foo.PDB", module.debug_id)]
    result = server.v5(spellings, [0, IN_C], [1, IN_C])
    assert result["found_modules"] == {"/".join(spelling): True for spelling in spellings}
    assert [frame["module"] for frame in result["stacks"][0]] == ["Foo.pdb", "foo.PDB"]
    first, second = functions(result)
    assert first is not None
    assert first == second


def early_frames(module: ObjectId, offsets: Sequence[int]) -> EarlyFrames:
    writer = PageFileWriter(io.BytesIO(), io.BytesIO())
    writer.feed(sample(module))
    code_file = writer.finish_scan().code_file
    return EarlyFrames(code_file, dict(writer.frames_at(offsets)))


@pytest.mark.parametrize("version", [V4(), V5()], ids=["v4", "v5"])
def test_symbolicate_early_frames_give_the_answer_of_the_page_file(version: ApiVersion) -> None:
    warm, cold = Server(), Server()
    offsets = range(0x1000, 0x2400, 3)
    for module in (CPP, RUST):
        del cold.modules.files[module]
        cold.cold.answers[module] = early_frames(module, offsets)
    unlikely = [-1, 2**32, 2**64]
    stack = [[index, offset] for index in (0, 1, 2) for offset in (*offsets, *unlikely)]
    job = job_of([CPP, C, RUST], [stack])
    assert cold.ask(job, version=version) == warm.ask(job, version=version)
    assert {frozenset(wanted) for wanted in cold.cold.offsets[0].values()} == {frozenset(offsets)}
    assert cold.cold.offsets[0].keys() == {CPP, RUST}


def test_symbolicate_early_frames_are_not_cached(server: Server) -> None:
    del server.modules.files[C]
    server.cold.answers[C] = early_frames(C, [IN_C])
    assert server.v5([C], [0, IN_C])["found_modules"] == {str(C): True}
    assert server.parts.frames.size == 0
    server.v5([C], [0, IN_C])
    assert len(server.cold.deadlines) == 2


def test_symbolicate_early_frames_are_noted_as_uses(server: Server) -> None:
    """No page of these modules is looked up, which notes all other uses."""
    noted: list[ObjectId] = []
    server.parts = server.parts._replace(note_early=noted.extend)
    del server.modules.files[C]
    server.cold.answers[C] = early_frames(C, [IN_C])
    server.v5([C, CPP], [0, IN_C], [1, 0x1100])
    assert noted == [C]


def test_symbolicate_early_frames_larger_than_an_answer_raise(server: Server) -> None:
    del server.modules.files[C]
    server.cold.answers[C] = early_frames(C, [IN_C])
    server.parts = server.parts._replace(max_answer_bytes=40)
    with pytest.raises(TooLarge):
        server.v5([C], [0, IN_C])
