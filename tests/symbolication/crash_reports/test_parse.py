from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.crash_reports.module_table import elf_id
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import (
    NotSymbolicatable,
    ParsedReport,
    ReportFrame,
    ReportModule,
)

XUL = ReportModule("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
# Both ids are those of a sample in tests/data/samples.
APP = ReportModule("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
BUILD_ID = "6cb9dbdaed91f95812fb09f7f2655e6f992e626c"
LIBC = ReportModule("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")
MOST = 1000


def first(paste: ParsedReport) -> tuple[ReportFrame, ...]:
    return paste.threads[0].frames


@pytest.mark.parametrize(
    "document",
    [
        {"memoryMap": [[*XUL], [*LIBC]], "stacks": [[[1, 16], [0, 32], [-1, 7]]]},
        {"jobs": [{"memoryMap": [[*XUL], [*LIBC]], "stacks": [[[1, 16], [0, 32], [-1, 7]]]}]},
        {"memoryMap": [[*XUL], [*LIBC]], "stacks": [[[1, 16], [0, 32], [-1, 7]]], "version": 4},
    ],
)
def test_read_symbolication_request_gives_its_frames(document: dict[str, Any]) -> None:
    paste = parse_report(json.dumps(document), MOST)
    assert (paste.kind, paste.modules) == ("symbolication request", (LIBC, XUL))
    assert first(paste) == (ReportFrame(0, 16), ReportFrame(1, 32), ReportFrame(None, 7))


MACHINE = """\
OS|Linux|0.0.0 Linux 6.1
CPU|amd64|family 6|8
GPU|||
Crash|SIGSEGV|0x0|1
Module|crash-c||crash-c|DADBB96C91ED58F912FB09F7F2655E6F0|0x00400000|0x00404fff|1
Module|libc.so.6||libc.so.6|EC61AC938E5A39B16F9FBD350E3169A50|0x7f0000000000|0x7f00001fffff|0

0|0|libc.so.6||||0xed765
1|0|crash-c||||0x1205
1|1|crash-c|main|crash.c|56|0x5
1|2|libc.so.6||||0x2724a
1|3|||||0x7ffc0000
"""


def test_read_stackwalk_machine_output_gives_its_frames() -> None:
    paste = parse_report(MACHINE, MOST)
    assert paste.modules == (LIBC, APP)
    assert [(thread.name, thread.crashed) for thread in paste.threads] == [
        ("Thread 0", False),
        ("Thread 1", True),
    ]
    assert paste.threads[1].frames == (
        ReportFrame(1, 0x1205),
        ReportFrame(None, 5, "crash-c!main [crash.c:56]"),
        # A caller: the call is before its return address.
        ReportFrame(0, 0x2724A - 1),
        ReportFrame(None, 0x7FFC0000),
    )
    assert paste.reason == "SIGSEGV at 0x0"


HUMAN = """\
Operating system: Linux
Crash reason:  SIGSEGV /SEGV_MAPERR
Crash address: 0x0

Thread 0 (crashed)
 0  crash-c + 0x1205
    rax = 0x0000000000000000   rdx = 0x00007ffc
    Found by: given as instruction pointer in context
 1  libfoo.so!foo(int) [foo.cpp : 12 + 0x5]
    Found by: call frame info
 2  libc.so.6 + 0x2724a
    Found by: stack scanning

Thread 1
 0  libc.so.6 + 0xed765

Loaded modules:
0x00400000 - 0x00404fff  crash-c  ???  (main)  (WARNING: No symbols, crash-c, DADBB96C91ED58F912FB09F7F2655E6F0)
0x7f000000 - 0x7f1fffff  libc.so.6  ???  (WARNING: No symbols, libc.so.6, EC61AC938E5A39B16F9FBD350E3169A50)
0x7f200000 - 0x7f2fffff  libfoo.so  ???
"""  # noqa: E501


def test_read_stackwalk_human_output_gives_its_frames() -> None:
    paste = parse_report(HUMAN, MOST)
    assert (paste.kind, paste.reason) == ("minidump_stackwalk", "SIGSEGV /SEGV_MAPERR")
    assert [(thread.name, thread.crashed) for thread in paste.threads] == [
        ("Thread 0", True),
        ("Thread 1", False),
    ]
    assert first(paste) == (
        ReportFrame(0, 0x1205),
        ReportFrame(None, 0, "libfoo.so!foo(int) [foo.cpp : 12 + 0x5]"),
        ReportFrame(1, 0x2724A - 1),
    )
    assert paste.modules == (APP, LIBC)


def test_read_stackwalk_without_ids_is_rejected_with_the_option() -> None:
    with pytest.raises(NotSymbolicatable, match=r"Recognized as minidump_stackwalk\. .* with `-m`"):
        parse_report(HUMAN.replace("No symbols", "Corrupt symbols"), MOST)


DUMP: dict[str, Any] = {
    "crash_info": {"type": "SIGSEGV", "address": "0x0", "crashing_thread": 0},
    "modules": [
        {"filename": "crash-c", "debug_file": "crash-c", "debug_id": APP.debug_id, "base_addr": "0x400000"},
        {"filename": "libc.so.6", "debug_file": "libc.so.6", "debug_id": LIBC.debug_id,
         "base_addr": "0x7f0000", "end_addr": "0x7fffff"},
    ],
    "threads": [
        {
            "thread_name": "main",
            "frames": [
                {"module": "crash-c", "module_offset": "0x1205", "offset": "0x401205", "function": "crash"},
                {"module": None, "offset": "0x7f0010"},
                {"module": None, "offset": "0x900000"},
                "nonsense",
            ],
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize("document", [DUMP, {"json_dump": DUMP, "uuid": "1"}])
def test_read_socorro_crash_gives_its_frames(document: dict[str, Any]) -> None:
    paste = parse_report(json.dumps(document), MOST)
    assert (paste.kind, paste.reason) == ("crash report", "SIGSEGV at 0x0")
    assert paste.threads[0].name == "Thread 0 main"
    assert paste.threads[0].crashed
    assert first(paste) == (
        ReportFrame(0, 0x1205, "crash"),
        ReportFrame(1, 0x10),
        ReportFrame(None, 0x900000),
        ReportFrame(None, 0),
    )


def test_read_crash_ping_gives_its_frames() -> None:
    traces = {
        "crash_info": {"type": "SIGSEGV", "address": "0x0", "crashing_thread": 0},
        "modules": [
            {
                "base_addr": "0x400000",
                "end_addr": "0x405000",
                "debug_file": "crash-c",
                "debug_id": APP.debug_id,
            }
        ],
        "threads": [
            {"frames": [{"module_index": 0, "ip": "0x401205", "trust": "context"}, {"ip": "0x405000"}]}
        ],
    }
    paste = parse_report(json.dumps({"payload": {"stackTraces": traces}}), MOST)
    assert (paste.kind, paste.modules, first(paste)) == (
        "crash ping",
        (APP,),
        (ReportFrame(0, 0x1205), ReportFrame(None, 0x405000)),
    )


IPS = {
    "usedImages": [{"uuid": "3d3a1b2c-0000-1111-2222-333344445555", "name": "shop", "base": 4300000000}],
    "threads": [
        {
            "frames": [
                {"imageIndex": 0, "imageOffset": 100},
                {"imageIndex": 0, "imageOffset": 200, "symbol": "main"},
            ]
        }
    ],
    "faultingThread": 0,
    "exception": {"type": "EXC_BAD_ACCESS", "signal": "SIGSEGV"},
}


@pytest.mark.parametrize(
    "text", [json.dumps(IPS), json.dumps({"app_name": "shop"}) + "\n" + json.dumps(IPS, indent=2)]
)
def test_read_apple_json_gives_its_frames(text: str) -> None:
    paste = parse_report(text, MOST)
    assert paste.modules == (ReportModule("shop", "3D3A1B2C0000111122223333444455550"),)
    assert first(paste) == (ReportFrame(0, 100), ReportFrame(0, 199, "main"))
    assert (paste.threads[0].crashed, paste.reason) == (True, "EXC_BAD_ACCESS")


APPLE = """\
Process:               shop [123]
Exception Type:        EXC_CRASH (SIGABRT)

Thread 0 Crashed:: Dispatch queue: com.apple.main-thread
0   libsystem_kernel.dylib        \t0x00007fff2031b92e __pthread_kill + 10
1   shop                          \t0x0000000104398064 0x104394000 + 16484

Thread 1:
0   shop                          \t0x0000000104394010 main + 16

Binary Images:
       0x104394000 -        0x104397fff +shop (1.0) <3D3A1B2C-0000-1111-2222-333344445555> /Applications/shop
    0x7fff20314000 -     0x7fff20342fff  libsystem_kernel.dylib (7195) <4BD61365-29AF-3234-8002-D989D295FDBB> /usr/lib/libsystem_kernel.dylib
"""  # noqa: E501


def test_read_apple_text_gives_its_frames() -> None:
    paste = parse_report(APPLE.replace("0x104397fff", "0x104399fff"), MOST)
    assert [thread.name for thread in paste.threads] == [
        "Thread 0 Dispatch queue: com.apple.main-thread",
        "Thread 1",
    ]
    assert paste.modules[1] == ReportModule("shop", "3D3A1B2C0000111122223333444455550")
    assert first(paste) == (ReportFrame(0, 0x792E, "__pthread_kill"), ReportFrame(1, 16483))
    assert paste.reason == "EXC_CRASH (SIGABRT)"


GDB = """\
#0  0x000000000040120a in ?? ()
#1  0x00007ffff7df0d0a in __libc_start_main () from /lib/x86_64-linux-gnu/libc.so.6
#2  main (argc=1) at crash.c:56
"""
UNSTRIP = """\
0x400000+0x5000 6cb9dbdaed91f95812fb09f7f2655e6f992e626c@0x4002a8 /home/me/crash-c - [exe]
0x7ffff7dc0000+0x1e7000 93ac61ec5a8eb1396f9fbd350e3169a500000000@0x7ffff7dc0390 /lib/x86_64-linux-gnu/libc.so.6 - libc.so.6
0x7ffff7fc0000+0x2000 da1b25@0x7ffff7fc0550 . - linux-vdso.so.1
"""  # noqa: E501


def test_read_gdb_backtrace_with_modules_gives_its_frames() -> None:
    paste = parse_report(GDB + UNSTRIP, MOST)
    assert paste.modules == (APP, LIBC)
    assert first(paste) == (
        ReportFrame(0, 0x120A),
        ReportFrame(1, 0x30D09, "__libc_start_main () from /lib/x86_64-linux-gnu/libc.so.6"),
        ReportFrame(None, 0, "main (argc=1) at crash.c:56"),
    )
    assert paste.remarks == ()
    assert paste.build_ids == (
        "6cb9dbdaed91f95812fb09f7f2655e6f992e626c",
        "93ac61ec5a8eb1396f9fbd350e3169a500000000",
    )


@pytest.mark.parametrize(
    ("code_id", "build_ids"),
    [
        ("6CB9DBDAED91F95812FB09F7F2655E6F992E626C", ("6cb9dbdaed91f95812fb09f7f2655e6f992e626c",)),
        ("93ac61ec5a8eb1396f9fbd350e3169a500000000", ()),
        *((other, ()) for other in ("", "5D8A5E191F0000", "no hex", None, 7)),
    ],
)
def test_read_crash_gives_whole_build_ids(code_id: object, build_ids: tuple[str, ...]) -> None:
    """Only of a module whose debug id is in it: other systems have other code ids."""
    module = {"debug_file": APP.debug_file, "debug_id": APP.debug_id, "code_id": code_id, "filename": "x"}
    document = {"modules": [module], "threads": [{"frames": [{"module": "x", "module_offset": "0x1"}]}]}
    assert parse_report(json.dumps(document), MOST).build_ids == build_ids


def test_read_gdb_threads_are_separate() -> None:
    text = "Thread 2 (Thread 0x7f (LWP 8)):\n" + GDB + "\nThread 1 (LWP 7):\n" + GDB
    assert [thread.name for thread in parse_report(text + UNSTRIP, MOST).threads] == ["Thread 2", "Thread 1"]


def test_elf_id_build_id_gives_the_debug_id_of_dump_syms() -> None:
    assert elf_id(BUILD_ID) == APP.debug_id


@pytest.mark.parametrize(
    "line",
    [
        "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2+0x1f4a",
        "xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2 0x1f4a",
        "xul.pdb, 44e4ec8c2f41492b9369d6b9a059577c2, 0x1F4A",
        "#3  xul.pdb | 44E4EC8C2F41492B9369D6B9A059577C2 | 0x1f4a",
        " 3: xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2 + 0x1f4a",
    ],
)
def test_read_offset_list_gives_its_frames(line: str) -> None:
    assert (parse_report(line, MOST).modules, first(parse_report(line, MOST))) == (
        (XUL,),
        (ReportFrame(0, 0x1F4A),),
    )


def test_read_offset_list_with_separate_ids_gives_its_frames() -> None:
    paste = parse_report(
        "xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2\nxul.pdb+0x10\nfoo.so + 0x20\n(inlined)\n", MOST
    )
    assert paste.modules == (XUL, ReportModule("foo.so", ""))
    assert first(paste) == (ReportFrame(0, 16), ReportFrame(1, 32), ReportFrame(None, 0, "(inlined)"))
    assert paste.remarks == ("No debug id for foo.so: write it once, as `foo.so ID`.",)


def test_read_glibc_backtrace_with_build_id_gives_its_frames() -> None:
    given = "/lib/libc.so.6(__libc_start_main+0x85) [0x7fad3b061305]"
    text = f"crash-c {BUILD_ID}\n./build/crash-c(+0x11db)[0x564d4ae661db]\n{given}\n"
    paste = parse_report(text, MOST)
    assert paste.modules == (APP,)
    # The offset behind a function's name is one into the function.
    assert first(paste) == (
        ReportFrame(0, 0x11DA),
        ReportFrame(None, 0x7FAD3B061305, "/lib/libc.so.6(__libc_start_main+0x85)"),
    )
    assert paste.remarks == ()


def test_read_guid_without_age_has_age_0() -> None:
    paste = parse_report("shop 3D3A1B2C-0000-1111-2222-333344445555 0x10", MOST)
    assert paste.modules == (ReportModule("shop", "3D3A1B2C0000111122223333444455550"),)


@pytest.mark.parametrize(
    "text", ["", " \n", "hello", "{}", "[1, 2]", '{"jobs": 3}', "0|0|x", "<script>alert(1)</script>"]
)
def test_read_unknown_text_lists_the_known_kinds(text: str) -> None:
    with pytest.raises(InvalidInput, match="It can be a crash report or log"):
        parse_report(text, MOST)


def test_read_too_many_frames_raises() -> None:
    with pytest.raises(TooLarge, match="Too many frames: 5, at most 4"):
        parse_report(MACHINE, 4)


NAMES = [
    "jobs",
    "memoryMap",
    "stacks",
    "modules",
    "threads",
    "frames",
    "json_dump",
    "payload",
    "stackTraces",
    "usedImages",
    "crash_info",
    "base_addr",
    "module_offset",
    "exception",
    "module",
    "filename",
    "offset",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=30,
)
LINES = [line for text in (MACHINE, HUMAN, APPLE, GDB, UNSTRIP) for line in text.splitlines()]


@given(JSON)
def test_read_arbitrary_json_never_fails_otherwise(document: Any) -> None:
    """Check that the text is parsed, or refused with an expected error."""
    try:
        paste = parse_report(json.dumps(document), MOST)
    except InvalidInput:
        return
    for thread in paste.threads:
        assert all(frame.module is None or frame.module < len(paste.modules) for frame in thread.frames)


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=25))
def test_read_arbitrary_text_never_fails_otherwise(lines: list[str]) -> None:
    try:
        parse_report("\n".join(lines), MOST)
    except InvalidInput:
        return
