"""The text of a minidump's report, and the sentence about its crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.symbolication.minidump.reported_threads import LAST_FRAMES, SummaryLimits
from tecken.symbolication.minidump.sentence import describe_crash
from tecken.symbolication.minidump.summarize import summarize
from tecken.symbolication.minidump.text import format_minidump
from tests.symbolication.minidump.reports import Report, crash_report, frame

TEXT = """\
shop crashed in abort, called from check_total (total.h:7): it ended itself with abort(), most often after a \
failed check or an uncaught exception.

Crash reason: SIGABRT at 0x0000000000001267
Assertion:    total >= 0
System:       Linux 6.1.0 (Debian GNU/Linux 12)
Processor:    amd64, family 6 model 85 stepping 7, 2 processors
Process:      4711
Uptime:       12 s
Note:         The stream MemoryList is cut short

Thread 1 shop (crashed), id 4711
#0   libc.so.6!abort (context)
        rax = 0x0000000000000000    rip = 0x00007f0000022e5d
#1   shop!check_total [/build/shop/total.h:7] (inlined)
#1   shop!checkout [/build/shop/cart.c:41] (cfi)
#2   shop!main [/build/shop/main.c:12] (cfi)
#3   libc.so.6 + 0x27249 (scan)

Other threads
  Thread 0 worker, id 4712: poll

Modules
  missing     libc.so.6 (0x0000555555554000, C0BCC3F19827FE653058404B2831D9E60)
              see https://symbols.example.com/explain/libc.so.6/C0BCC3F19827FE653058404B2831D9E60/
  loaded      shop (0x0000555555554000, DADBB96C91ED58F912FB09F7F2655E6F0)
  Upload missing symbols, then send the dump again: tecken-upload --url https://symbols.example.com FILE
  1 other module has no frames

Annotations
  ver: 1.2
  cart: 7
  checkout began
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def crash(reason: str | None, address: str = "0x0000000000000000", **first: object) -> str:
    """Return the sentence for a crash in the program itself."""
    report = {
        "crash_info": {"type": reason, "address": address},
        "crashing_thread": {"threads_index": 0, "frames": [frame(0, **{"function": "pay", **first})]},
        "main_module": 0,
        "modules": [{"filename": "shop"}],
    }
    return describe_crash(summarize(report))


def test_text_has_crash_threads_and_modules() -> None:
    assert format_minidump(crash_report(), site="https://symbols.example.com/") == TEXT


def test_text_of_all_threads_has_their_frames_and_every_module() -> None:
    text = format_minidump(crash_report(), all_threads=True)
    assert "Thread 0 worker, id 4712\n#0   libc.so.6!poll (context)\n" in text
    assert "unused      libm.so.6 (" in text
    assert "other module" not in text


def test_text_of_unavailable_symbols_asks_for_the_dump_again() -> None:
    report = crash_report()
    report["modules"][1] |= {"symbols": "unavailable", "symbols_reason": "a source did not answer"}
    text = format_minidump(report, site="https://symbols.example.com")
    assert "\n              a source did not answer\n" in text
    assert "\n  Some symbols could not be looked up: send the dump again\n" in text
    assert "could not be looked up: process the dump again" in format_minidump(report)


def test_text_without_a_site_has_no_command() -> None:
    assert "tecken-upload" not in format_minidump(crash_report())


@pytest.mark.parametrize("report", [{}, {"threads": None, "modules": None, "crash_info": None}])
def test_text_of_an_empty_report_is_one_sentence(report: Report) -> None:
    assert format_minidump(report) == "The dump has no crash.\n"


def test_text_has_no_control_characters() -> None:
    report = crash_report()
    report["threads"][0]["thread_name"] = "\x1b[31m\u202eevil\r\n"
    report["crash_info"]["type"] = "SIG\x00\x1b]0;title\x07"
    text = format_minidump(report, all_threads=True)
    assert "[31m evil, id 4712" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_text_of_a_report_of_rust_minidump_has_the_states_of_symbols() -> None:
    report = crash_report()
    for module, state in zip(report["modules"], ("loaded", "missing", "corrupt"), strict=True):
        module["symbols"] = None
        module |= {f"{name}_symbols": name == state for name in ("loaded", "missing", "corrupt")}
    report["modules"][2]["loaded_symbols"] = True
    states = {module.name: module.state for module in summarize(report).modules}
    assert states == {"shop": "loaded", "libc.so.6": "missing", "libm.so.6": "corrupt"}


def test_text_without_a_site_has_the_command_of_a_host() -> None:
    text = format_minidump(crash_report())
    assert "\n  Add missing symbols, then process the dump again: manage.py symbols add PATH\n" in text


def test_text_asks_for_no_symbols_of_the_kernels_code() -> None:
    report = crash_report()
    report["modules"][1] |= {"filename": "linux-gate.so", "debug_file": "linux-gate.so"}
    text = format_minidump(report, site="https://symbols.example.com")
    assert "\n              the kernel maps it into each process; stacks seldom need its symbols\n" in text
    assert "tecken-upload" not in text
    assert "see https" not in text


def test_module_without_an_id_has_no_explanation() -> None:
    summary = summarize({"modules": [{"filename": "a", "debug_file": "a", "debug_id": "0" * 33}]})
    assert (summary.modules[0].debug_id, summary.modules[0].explanation) == ("", "")


def test_text_of_endless_recursion_has_its_first_and_last_frames() -> None:
    frames = [frame(number, function=f"f{number}") for number in range(1024)]
    report = {"crashing_thread": {"threads_index": 0, "frames": frames}}
    lines = format_minidump(report).splitlines()
    assert "     ... 904 frames left out; the JSON has all" in lines
    assert lines[-1] == "#1023 shop!f1023 (cfi)"
    assert sum(line.startswith("#") for line in lines) == 120


def test_summary_has_no_more_than_its_limits() -> None:
    inlines = [{"function": "g"}] * 100
    threads = [{"frames": [frame(n, function="f", inlines=inlines) for n in range(50)]}] * 300
    report = {"threads": threads, "crash_info": {"crashing_thread": 7}, "modules": [{}] * 30}
    summary = summarize(report, SummaryLimits(threads=100, frames=10, calls=1000, modules=5))
    shown = [thread for thread in (summary.crashing, *summary.others) if thread]
    calls = sum(1 + len(row.inlines) for thread in shown for row in (*thread.first, *thread.last))
    assert calls <= 1000
    assert len(shown) + summary.threads_left_out == 300
    assert (len(summary.modules), summary.modules_left_out) == (5, 25)
    assert summary.crashing is not None
    assert summary.crashing.frame_count == 50


def test_thread_has_its_last_frames_beside_the_first_ones() -> None:
    report = {"crashing_thread": {"threads_index": 0, "frames": [frame(n) for n in range(200)]}}
    thread = summarize(report).crashing
    assert thread is not None
    assert [row.number for row in thread.last] == list(range(200 - LAST_FRAMES, 200))
    assert thread.left_out == 80


@pytest.mark.parametrize(
    ("reason", "address", "expected"),
    [
        (
            "SIGSEGV / SEGV_MAPERR",
            "0x00007f0000001000",
            "it accessed address 0x7f0000001000, where no memory is",
        ),
        ("EXCEPTION_ACCESS_VIOLATION_WRITE", "0x00000045", "it wrote to address 0x45 (close to null: "),
        ("SIGFPE / FPE_INTDIV", "0x0000000000401000", "it divided an integer by zero"),
        ("EXCEPTION_STACK_OVERFLOW / 0x1", "0x00401000", "it used up its stack"),
        ("SIGSEGV / SEGV_MAPERR", "broken", "it accessed memory, where no memory is"),
    ],
)
def test_sentence_has_the_cause(reason: str, address: str, expected: str) -> None:
    assert crash(reason, address).startswith(f"shop crashed in pay: {expected}")


def test_sentence_of_a_stack_overflow_that_the_reason_does_not_tell() -> None:
    overflow = {"stack_address": "0x00007f0000001000", "stack_size": 65536, "distance": 72}
    report = {
        "crash_info": {"type": "SIGSEGV / SEGV_ACCERR", "address": "0x8", "stack_overflow": overflow},
        "main_module": 0,
        "modules": [{"filename": "shop"}],
    }
    assert describe_crash(summarize(report)) == (
        "shop crashed: it used up its stack, most often by endless recursion."
    )


def test_sentence_of_a_jump_to_null_names_the_jump() -> None:
    text = crash("SIGSEGV / SEGV_MAPERR", module=None, function=None, offset="0x0000000000000000")
    assert text == (
        "shop crashed in 0x0000000000000000: it jumped to 0x0, where no code is (a null pointer)."
    )


def test_sentence_without_an_exception_has_no_crash() -> None:
    assert crash(None) == "The dump of shop has no crash."


@pytest.mark.parametrize("reason", ["Simulated Exception", "DUMP_REQUESTED / 0x00000000"])
def test_sentence_of_a_requested_dump_has_no_crash(reason: str) -> None:
    assert crash(reason) == "shop did not crash: the dump was requested while it was in pay."


def test_sentence_of_an_unknown_reason_has_the_place() -> None:
    assert crash("0x0a12ef56") == "shop crashed in pay."


@given(st.dictionaries(st.sampled_from(sorted(crash_report())), JSON))
def test_text_of_any_values_is_text(changes: Report) -> None:
    text = format_minidump({**crash_report(), **changes}, all_threads=True)
    assert all(character.isprintable() or character == "\n" for character in text)


@given(st.sampled_from(sorted(crash_report()["threads"][1]["frames"][1])), JSON)
def test_text_of_any_values_in_a_frame_is_text(key: str, value: object) -> None:
    report = {"threads": [{"frames": [frame(0) | {key: value}]}]}
    text = format_minidump(report, all_threads=True)
    assert all(character.isprintable() or character == "\n" for character in text)
