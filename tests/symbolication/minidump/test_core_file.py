"""Core files: threads, modules and the cause of a crash, hostile values, and a core of the kernel."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import subprocess
from pathlib import Path
from struct import pack

import pytest

from tecken.errors import Malformed
from tecken.symbolication.minidump.core_file import read_core
from tecken.symbolication.minidump.dump import CrashInfo, DumpModule, Minidump
from tecken.symbolication.minidump.read import read_dump
from tecken.symbolication.minidump.signature import is_core, is_dump
from tecken.symbolication.minidump.thread_list import MAX_THREADS
from tests.oracle.minidumps import PATH, UnwoundModule, report_of
from tests.support.broken_files import mutate
from tests.support.core_files import (
    AMD64,
    ARM,
    ARM64,
    FILE,
    PRSTATUS,
    PT_NOTE,
    SIGINFO,
    X86,
    CoreWriter,
    Processor,
    note,
)
from tests.support.minidump_samples import CORES, SAMPLES
from tests.support.minidumps import words

BUILD_ID = "b5381a457906d279073822a5ceb24c4bfef94ddb"
DEBUG_ID = "451A38B5067979D2073822A5CEB24C4B0"
HUGE = 0xFFFF_FFFF
WIDEST = 0xFFFF_FFFF_FFFF_FFFF
MUTANTS = 2000
SOURCE = """
#include <pthread.h>
#include <unistd.h>
static void *wait_forever(void *argument) { for (;;) pause(); return argument; }
__attribute__((noinline)) void fail(volatile int *place) { *place = 1; }
__attribute__((noinline)) void descend(int depth) {
  volatile char space[64];
  space[0] = depth;
  if (depth) descend(depth - 1); else fail((volatile int *)0x10);
  space[1] = 0;
}
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, wait_forever, 0);
  descend(3);
  return 0;
}
"""


def read(content: bytes) -> Minidump:
    return read_core(memoryview(content))


def small_core(processor: Processor = AMD64) -> CoreWriter:
    core = CoreWriter(processor)
    core.thread(7)
    return core


@pytest.mark.parametrize(
    ("processor", "cpu", "registers"),
    [
        (X86, "x86", {"eip": 0x40_0100, "esp": 0x7000_0000, "eflags": 2, "edi": 3}),
        (ARM, "arm", {"pc": 0x40_0100, "sp": 0x7000_0000, "r12": 2, "lr": 3}),
        (AMD64, "amd64", {"rip": 0x40_0100, "rsp": 0x7000_0000, "r15": 2, "rdi": 3}),
        (ARM64, "arm64", {"pc": 0x40_0100, "sp": 0x7000_0000, "lr": 2, "x28": 3}),
    ],
)
def test_read_core_of_each_processor_gives_its_parts(
    processor: Processor, cpu: str, registers: dict[str, int]
) -> None:
    core = CoreWriter(processor)
    core.thread(7, **registers)
    core.process(6)
    core.signal(11, 1, 0x45)
    core.thread(8)
    core.memory(0x7000_0000, words(processor.width, 0, 0x40_0200))
    core.module(0x40_0000, 0x40_4000, "/opt/bin/crash", bytes.fromhex(BUILD_ID), address=0x40_0000)
    dump = read(core.content())
    assert (dump.system.os, dump.system.cpu, dump.process_id, dump.requesting_thread) == ("Linux", cpu, 6, 0)
    assert dump.crash == CrashInfo("SIGSEGV / SEGV_MAPERR", 0x45)
    first, second = dump.threads
    assert (first.id, second.id, second.stack) == (7, 8, None)
    assert first.registers
    assert {name: value for name, value in first.registers.items() if value} == registers
    assert first.stack
    assert first.stack.read(0x7000_0000 + processor.width, processor.width) == 0x40_0200
    assert dump.modules.all == (DumpModule(0x40_0000, 0x4000, "/opt/bin/crash", BUILD_ID, "crash", DEBUG_ID),)
    assert dump.warnings == ()


@pytest.mark.parametrize(
    ("signal", "code", "crash"),
    [
        (6, -6, CrashInfo("SIGABRT / SI_TKILL", 0)),
        (11, 0, CrashInfo("SIGSEGV", 0)),
        (11, 0x80, CrashInfo("SIGSEGV / SI_KERNEL", 0x45)),
        (0, 0, None),
    ],
)
def test_read_core_explains_its_signal(signal: int, code: int, crash: CrashInfo | None) -> None:
    core = CoreWriter(signal=signal)
    core.thread(7)
    core.signal(signal, code, 0x45)
    assert read(core.content()).crash == crash


def test_read_core_without_the_cause_has_the_signal() -> None:
    assert read(small_core().content()).crash == CrashInfo("SIGSEGV", 0)


def test_read_core_after_an_overflow_gives_the_stack_above() -> None:
    core = CoreWriter()
    core.thread(7, rsp=0x1_0F00)
    core.memory(0x1_1000, bytes(4096))
    stack = read(core.content()).threads[0].stack
    assert stack
    assert stack.base == 0x1_1000


def test_read_core_modules_without_a_first_page_have_no_ids() -> None:
    core = small_core()
    core.mapping(0x50_0000, 0x50_2000, 0, "/usr/lib/other.so (deleted)")
    core.mapping(0x60_0000, 0x60_2000, 1, "/usr/lib/without-start.so")
    core.mapping(0x70_0000, 0x70_1000, 0, "/usr/share/font.ttf")
    core.memory(0x70_0000, bytes(4096))
    assert read(core.content()).modules.all == (
        DumpModule(0x50_0000, 0x2000, "/usr/lib/other.so", debug_file="other.so"),
        DumpModule(0x70_0000, 0x1000, "/usr/share/font.ttf", debug_file="font.ttf"),
    )


def test_read_core_module_that_is_mapped_twice_ends_with_its_image() -> None:
    core = small_core()
    core.module(0x40_0000, 0x40_4000, "/bin/crash", bytes.fromhex(BUILD_ID))
    core.mapping(0x90_0000, 0x90_4000, 0, "/bin/crash")
    (module,) = read(core.content()).modules.all
    assert (module.base, module.size) == (0x40_0000, 0x4000)


def test_read_core_that_is_cut_gives_what_is_there() -> None:
    core = small_core()
    core.segment(1, 0x1_0000, b"12345678", file_size=1 << 40)
    dump = read(core.content())
    assert len(dump.threads) == 1
    assert dump.warnings[0] == "core file is cut short: memory is missing"


def test_read_core_with_too_many_threads_keeps_the_first() -> None:
    core = small_core()
    core.segment(PT_NOTE, 0, note(PRSTATUS, bytes(112 + 27 * 8)) * MAX_THREADS)
    dump = read(core.content())
    assert (len(dump.threads), dump.threads[0].id) == (MAX_THREADS, 7)
    assert f"has {MAX_THREADS + 1} threads" in dump.warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        words(8, HUGE, 4096),
        words(8, WIDEST, 4096),
        words(8, 2, 4096, 1, 2, 0),
        words(8, 1, 4096, 5, 1, 0) + b"/end-before-start\0",
        words(8, 1, 4096, 0, WIDEST, 0),
        words(8, 1, 4096, 0, WIDEST, 0) + b"x" * 5000,
    ],
)
def test_read_core_with_a_broken_list_of_files_has_no_modules(content: bytes) -> None:
    core = small_core()
    core.note(FILE, content)
    assert read(core.content()).modules.all == ()


@pytest.mark.parametrize("kind", [PRSTATUS, SIGINFO, 3])
@pytest.mark.parametrize("content", [b"", b"\xff" * 12])
def test_read_core_with_short_notes_is_read_without_them(kind: int, content: bytes) -> None:
    core = CoreWriter()
    core.note(kind, content)
    core.thread(7)
    dump = read(core.content())
    assert ([thread.id for thread in dump.threads], dump.process_id) == ([7], None)


@pytest.mark.parametrize("build_id", [b"", b"\1", bytes(20), b"\xff" * 3000])
def test_read_core_with_an_odd_build_id_is_read(build_id: bytes) -> None:
    core = small_core()
    core.module(0x40_0000, 0x40_4000, "/bin/crash", build_id, address=WIDEST - 4095)
    (module,) = read(core.content()).modules.all
    assert module.base == 0x40_0000


def test_read_core_with_overlapping_segments_keeps_the_lower_one() -> None:
    core = CoreWriter()
    core.thread(7, rsp=0x1_0008)
    core.memory(0x1_0008, b"B" * 64)
    core.memory(0x1_0000, b"A" * 64)
    core.memory(WIDEST - 8, b"C" * 64)
    stack = read(core.content()).threads[0].stack
    assert stack
    assert bytes(stack.content[:1]) == b"A"


GOOD = small_core().content()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (GOOD[:20], "is cut"),
        (GOOD[:100], "cannot read the list of memory of the core file: .* is cut"),
        (GOOD[:130], "no threads"),
        (CoreWriter().content(), "no threads"),
        (GOOD[:5] + b"\2" + GOOD[6:16] + b"\0\4" + GOOD[18:], "big-endian"),
        (GOOD[:18] + b"\x08\0" + GOOD[20:], "processor 8 with ELF class 2; only x86, "),
        (GOOD[:4] + b"\1" + GOOD[5:], "ELF class 1"),
        (GOOD[:54] + pack("<HH", 56, 0xFFFF) + GOOD[58:], "65535 program headers"),
        (GOOD[:54] + pack("<HH", 8, 1) + GOOD[58:], "program headers of 8 bytes"),
        (GOOD[:32] + pack("<Q", WIDEST) + GOOD[40:], "is cut"),
    ],
)
def test_read_core_refuses_what_cannot_be_read_with_the_cause(content: bytes, cause: str) -> None:
    with pytest.raises(Malformed, match=cause):
        read_dump(memoryview(content))


def test_read_core_with_many_notes_is_bounded() -> None:
    core = small_core()
    part = note(PRSTATUS, b"", b"") * 70_000 + note(PRSTATUS, bytes(112 + 27 * 8))
    core.segment(PT_NOTE, 0, part)
    assert len(read(core.content()).threads) == 1


def test_is_dump_recognizes_cores_and_minidumps_alone() -> None:
    assert is_core(GOOD[:18])
    assert is_dump(SAMPLES["linux"]())
    assert not is_dump(GOOD[:16] + b"\3\0")
    assert not is_dump(GOOD[:17])
    assert not is_dump(b"")


@pytest.mark.parametrize("name", CORES)
def test_read_dump_of_mutated_cores_reads_or_refuses_them(name: str) -> None:
    chance = random.Random(17)
    good = CORES[name]()
    for _ in range(MUTANTS):
        try:
            read_dump(memoryview(mutate(good, chance)))
        except Malformed:
            continue


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Program that has crashed, and its core file."""
    compiler = shutil.which("cc")
    if not compiler or Path("/proc/sys/kernel/core_pattern").read_text() != "core\n":
        pytest.skip("needs a C compiler, and the core_pattern `core`")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("needs RLIMIT_CORE without a hard limit")
    folder = tmp_path_factory.mktemp("core")
    (folder / "crash.c").write_text(SOURCE)
    program = folder / "crash"
    options = ("-g", "-O1", "-fno-optimize-sibling-calls", "-pthread", "-Wl,--build-id")
    subprocess.run([compiler, *options, "-o", program, folder / "crash.c"], check=True)
    unlimited = ("sh", "-c", 'ulimit -c unlimited; exec "$0"')
    subprocess.run([*unlimited, program], cwd=folder, check=False)
    cores = sorted(folder.glob("core*"))
    if not cores:
        pytest.skip("needs a system that writes core files")
    return program, cores[0]


def test_core_of_the_kernel_is_read(crashed: tuple[Path, Path]) -> None:
    program, core = crashed
    dump = read_dump(memoryview(core.read_bytes()))
    assert dump.crash == CrashInfo("SIGSEGV / SEGV_MAPERR", 0x10)
    assert dump.process_id == dump.threads[0].id
    assert len(dump.threads) == 2
    assert all(thread.stack for thread in dump.threads)
    assert dump.warnings == ()
    modules = {module.code_file: module for module in dump.modules.all}
    assert len(modules[str(program)].code_id) == 40
    assert any(module.debug_file.startswith("libc") and module.code_id for module in dump.modules.all)


def test_core_of_the_kernel_has_the_frames_of_gdb(crashed: tuple[Path, Path]) -> None:
    program, core = crashed
    dump_syms = shutil.which("dump_syms", path=PATH)
    if not dump_syms or not shutil.which("gdb"):
        pytest.skip("needs dump_syms and gdb")
    sym = subprocess.run([dump_syms, program], check=True, capture_output=True).stdout
    debug_id = sym.split()[3].decode()
    report = report_of(core.read_bytes(), {("crash", debug_id): UnwoundModule(sym)})
    frames = [frame["function"] for frame in report["crashing_thread"]["frames"]]
    command = ["gdb", "-nx", "-batch", "-ex", "bt", str(program), str(core)]
    environment = os.environ | {"DEBUGINFOD_URLS": ""}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    # gdb prints the first frame twice: when it opens the core, and in the backtrace.
    expected = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\w+) \(", output, re.MULTILINE)[1:]
    assert expected == ["fail", *["descend"] * 4, "main"]
    assert frames[: len(expected)] == expected
