"""Minidump of the sample program: a thread that crashed, and one that waits."""

from __future__ import annotations

from tests.support.minidumps import STACK, DumpWriter, amd64_context, elf_record, words

PROGRAM, LIBC = 0x5555_5555_4000, 0x7F3A_1C20_0000
CRASHED, WAITING = 4711, 4712
# Build ids of tests/data/samples, and one of a library that no source has.
PROGRAM_ID = "6cb9dbdaed91f95812fb09f7f2655e6f992e626c"
LIBC_ID = "93ac61ec5a8eb1396f9fbd350e3169a54a3b9c21"
SIGSEGV, SEGV_MAPERR = 11, 1


def crash_dump() -> bytes:
    """Return the minidump of a crash in `by_price`, which qsort of libc has called."""
    dump = DumpWriter(version=(6, 1, 0), build="Linux 6.1.0 #1 SMP x86_64", cpus=2)
    dump.module(PROGRAM, 0x5000, "/usr/bin/crash-c", elf_record(PROGRAM_ID))
    dump.module(LIBC, 0x1D5000, "/usr/lib/x86_64-linux-gnu/libc.so.6", elf_record(LIBC_ID))
    dump.module(LIBC + 0x40_0000, 0x9000, "/usr/lib/x86_64-linux-gnu/libm.so.6")
    # Return addresses where the call frame information of the program has them. libc has none, so two of its
    # frames and the caller of qsort are found by a scan.
    stack = [0] * 27
    stack[3], stack[5], stack[6] = LIBC + 0x3FAF0, LIBC + 0x3F9C0, PROGRAM + 0x1250
    stack[12], stack[24] = PROGRAM + 0x10DA, LIBC + 0x2724A
    registers = {
        "rsp": STACK,
        "rbp": STACK + 0x40,
        "rip": PROGRAM + 0x1205,
        "rdi": 0x18,
        "rsi": PROGRAM + 0x4060,
    }
    context = dump.thread(
        CRASHED, amd64_context(**registers), dump.memory(STACK, words(8, *stack)), name="crash-c"
    )
    waiting = STACK + 0x10_0000
    idle = amd64_context(rsp=waiting, rip=LIBC + 0x109A1F)
    dump.thread(WAITING, idle, dump.memory(waiting, words(8, LIBC + 0x89134, 0, 0)), name="worker")
    dump.exception(CRASHED, SIGSEGV, SEGV_MAPERR, address=0x18, context=context)
    dump.process(CRASHED, create_time=None)
    dump.crashpad({"prod": "Shop", "ver": "1.4.2"})
    return dump.content()
