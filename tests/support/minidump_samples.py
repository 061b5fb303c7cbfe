"""Synthetic dumps of each system and processor, which together have every part that is read."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Final

from tests.support.core_files import AMD64 as CORE_AMD64
from tests.support.core_files import ARM as CORE_ARM
from tests.support.core_files import CoreWriter
from tests.support.minidumps import (
    ANDROID,
    ARM,
    ARM64,
    ARM64_OLD,
    BOOT_ARGS,
    CPU_INFO,
    HANDLES,
    IOS,
    LIMITS,
    LSB_RELEASE,
    MAC_CRASH_INFO,
    MACOS,
    MAPS,
    NOWHERE,
    PROC_STATUS,
    SOFT_ERRORS,
    WINDOWS,
    X86,
    DumpWriter,
    amd64_context,
    arm64_context,
    arm_context,
    elf_record,
    old_arm64_context,
    pdb_record,
    words,
    x86_context,
)

# mov rax, qword [rdi + 0x8], and what follows up to the length of the longest instruction.
INSTRUCTION: Final = bytes.fromhex("488b4708").ljust(15, b"\x90")
MEMORY_INFO: Final = 16
BUILD_ID: Final = "b5381a457906d279073822a5ceb24c4bfef94ddb"
DEBUG_ID: Final = "5A9832E5287241C1838ED98914E9B7FF1"
UUID_ID: Final = "EF1091E381DA369B9039EA1591D07E0B0"
MAPPINGS: Final = (
    b"00400000-0041a000 r-xp 00000000 08:01 264     /bin/crash\n"
    b"0061a000-0061b000 rw-p 0001a000 08:01 264     /bin/crash\n"
    b"7ffd0000-7ffd2000 rw-p 00000000 00:00 0       [stack]\n"
    b"7fff0000-7fff1000 r-xp 00000000 00:00 0 \n"
)
PROCESS_LIMITS: Final = (
    b"Limit                     Soft Limit           Hard Limit           Units     \n"
    b"Max cpu time              unlimited            unlimited            seconds   \n"
    b"Max open files            1024                 524288               files     \n"
    b"Max nice priority         0                    0                    \n"
)


def linux() -> bytes:
    """Return a dump of x86-64 with the files of Linux, and a thread of its handler."""
    dump = DumpWriter(version=(0, 0, 0), build="Linux 4.9.60 #1 SMP Mon Nov 6 2017 x86_64 Linux/GNU", cpus=4)
    stack = dump.memory(0x7FFD_0000, words(8, 0x7FFD_0010, 0x40_0123, 0, 0))
    context = dump.thread(11, amd64_context(rip=0x40_0100, rsp=0x7FFD_0000), stack, name="main")
    dump.thread(12, amd64_context(rip=0x40_0200, rsp=0x7FFD_0000), stack, name="zażółć 🦊")
    dump.thread(13, amd64_context(rip=0x40_0300), stack, name="handler")
    dump.thread(14)
    dump.module(0x40_0000, 0x1_A000, "/bin/crash", elf_record(BUILD_ID), version=(1, 2, 3, 4))
    dump.module(0x50_0000, 0x1000, "/usr/share/fonts/a.ttf", elf_record("00" * 20))
    dump.module(0x60_0000, 0x1000, "/lib/short.so", elf_record("0102030405060708"))
    dump.module(0x70_0000, 0x1000, "/SYSV00000000 (deleted)")
    dump.module(0x40_0800, 0x1000, "/lib/overlapping.so", elf_record(BUILD_ID))
    dump.module(0x80_0000, 0, "/lib/empty.so", elf_record(BUILD_ID))
    dump.exception(11, 11, flags=1, address=0x45, context=context)
    dump.breakpad(dump_thread=13, requesting_thread=12)
    for kind, content in (
        (CPU_INFO, b"processor\t: 0\nmicrocode\t: 0xb4\nmicrocode\t: 0xff\n"),
        (PROC_STATUS, b"Name:\tcrash\nPid:\t4321\nPPid:\t1\n"),
        (LSB_RELEASE, b'DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE = "16.04"\nPRETTY_NAME="Ubuntu 16.04 LTS"\n'),
        (MAPS, MAPPINGS),
        (LIMITS, PROCESS_LIMITS),
        (SOFT_ERRORS, b'[{"InitErrors": ["StopProcessFailed", 1, null]}]'),
    ):
        dump.stream(kind, content)
    return dump.content()


def windows() -> bytes:
    """Return a dump of x86 with unloaded modules, handles, and the last errors of threads."""
    vendor = b"GenuineIntel"
    dump = DumpWriter(WINDOWS, X86, (5, 1, 2600), "Service Pack 2", vendor, time_stamp=1_000_060)
    stack = dump.memory(0x12_F000, words(4, 0x12_F010, 0x40_1234, 0x7C90_0010, 0x1234_5678))
    dump.memory(0x7FFD_E000, bytes(13 * 4) + words(4, 5))
    context = dump.thread(3060, x86_context(eip=0x40_1000, esp=0x12_F000, eflags=0x246), stack, 0x7FFD_E000)
    # Windows can leave the place of a stack empty, which is then in the list of memory.
    dump.thread(3061, x86_context(eip=0x1_0010, esp=0x12_F004), stack._replace(place=NOWHERE), name="idle")
    dump.module(
        0x40_0000, 0x5000, "C:\\app\\app.exe", pdb_record(DEBUG_ID, "c:\\build\\app.pdb"), 0x45D3_5F6C
    )
    dump.module(0x7C90_0000, 0xB0000, "C:\\ntdll.dll", b"", 0x4110_96B4, (0x5_0001, 0xA28_0884, 0, 0))
    dump.module(0x1000_0000, 0x1000, "old.dll", b"NB10" + pack("<III", 0, 0x3B3A_1E3F, 26) + b"old.pdb\0")
    dump.module(0x2000_0000, 0x1000, "odd.dll", b"NB09" + bytes(20))
    dump.unloaded(0x1_0000, 0x1000, "C:\\gone.dll", 0x4444_4444)
    dump.unloaded(0x1_0000, 0x2000, "C:\\gone.dll", 0x4444_4445)
    dump.exception(3060, 0xC000_0005, 0, 0x40_1000, (1, 0xFFFF_FFFF_8000_0045), context)
    dump.process(3932, create_time=1_000_000)
    descriptors = b"".join(
        pack("<QIIIIII", handle, dump.text(kind), dump.text(name) if name else 0, 0, 0, 1, 1)
        for handle, kind, name in ((4, "File", "\\Device\\Null"), (8, "Event", ""))
    )
    dump.stream(HANDLES, pack("<IIII", 16, 32, 2, 0) + descriptors)
    return dump.content()


def windows_full() -> bytes:
    """Return a dump of x86-64 with all memory."""
    dump = DumpWriter(WINDOWS, version=(10, 0, 19041))
    dump.thread(1, amd64_context(rip=0x1_4000_1000, rsp=0x10_0100), teb=0x20_0000)
    dump.memory64(0x10_0000, bytes(0x100) + words(8, 0x1_4000_1234, 0))
    dump.memory64(0x20_0000, bytes(13 * 8) + words(4, 0xC000_0034))
    dump.module(0x1_4000_0000, 0x5000, "app.exe", pdb_record(DEBUG_ID, "app.pdb"), 1)
    dump.exception(1, 0xC000_0409, parameters=(7,))
    dump.process(77)
    return dump.content()


def windows_code() -> bytes:
    """Return a dump of x86-64 with the instruction of its crash, the mapped memory, and a flipped pointer."""
    dump = DumpWriter(WINDOWS)
    stack = dump.memory(0x7FFD_0000, words(8, *range(8)))
    dump.memory(0x40_0100, INSTRUCTION)
    registers = {"rip": 0x40_0100, "rsp": 0x7FFD_0000, "rdi": 0x4000_0000_7FFD_0000}
    context = dump.thread(1, amd64_context(**registers), stack)
    dump.exception(1, 0xC000_0005, parameters=(0, (1 << 64) - 1), context=context)
    pages = ((0x40_0000, 0x1000, 0x20), (0x7FFC_F000, 0x1000, 0x01), (0x7FFD_0000, 0x2000, 0x04))
    records = [pack("<QQIIQIIII", base, base, 4, 0, size, 0x1000, kind, 0, 0) for base, size, kind in pages]
    dump.stream(MEMORY_INFO, pack("<IIQ", 16, 48, len(records)) + b"".join(records))
    return dump.content()


def macos() -> bytes:
    """Return a dump of ARM64 with Crashpad's annotations, and with messages of crashed libraries."""
    dump = DumpWriter(MACOS, ARM64, (11, 6, 7), "20G630")
    stack = dump.memory(0x1_6FDF_0000, words(8, 0x1_6FDF_0010, 0x1_0000_4000, 0, 0))
    context = dump.thread(259, arm64_context(pc=0x1_0000_3F00, sp=0x1_6FDF_0000, x19=7, lr=9), stack)
    dump.module(0x1_0000_0000, 0x8000, "/app", pdb_record(UUID_ID, "app"), version=(0x1_0002, 0x3_0004, 0, 0))
    dump.exception(259, 1, flags=0x101, address=1, parameters=(1, 2), context=context)
    dump.crashpad({"prod": "App", "ver": "1.2"}, {0: {"url": "about:blank"}})
    texts = b"/usr/lib/libsystem_c.dylib\0abort() called\0\0\0\0"
    records = [
        dump.add(pack("<QQQQQ", MAC_CRASH_INFO, 5, thread, 0, cause) + texts)
        for thread, cause in ((0, 0), (3, 4))
    ]
    places = b"".join(pack("<II", *place) for place in [*records, *[NOWHERE] * 18])
    dump.stream(MAC_CRASH_INFO, pack("<III", MAC_CRASH_INFO, len(records), 40) + places)
    dump.stream(BOOT_ARGS, pack("<IQ", BOOT_ARGS, dump.text("-v keepsyms=1")))
    return dump.content()


def ios() -> bytes:
    """Return a dump of ARM64 in the older form of its context."""
    dump = DumpWriter(IOS, ARM64_OLD, (12, 0, 0))
    stack = dump.memory(0x1_6FDF_0000, bytes(64))
    context = dump.thread(1, old_arm64_context(pc=0x1_0000_3F00, sp=0x1_6FDF_0000, x28=28), stack)
    dump.module(0x1_0000_0000, 0x8000, "/app", pdb_record(UUID_ID, "app"))
    dump.exception(1, 5, flags=0x1_0002, context=context)
    return dump.content()


def android() -> bytes:
    """Return a dump of 32-bit ARM that was requested without a crash."""
    dump = DumpWriter(ANDROID, ARM, (0, 0, 0), "Linux 3.4.0 armv7l", pack("<II", 0x510F_06F3, 0x0000_A0D7))
    stack = dump.memory(0xBE00_0000, words(4, 0, 0x4000_0101, 0, 0))
    dump.thread(5, arm_context(pc=0x4000_0100, sp=0xBE00_0000, lr=0x4000_0200, fp=1, r12=2), stack)
    dump.module(0x4000_0000, 0x1000, "/system/lib/libc.so", elf_record(BUILD_ID))
    dump.breakpad(requesting_thread=5)
    return dump.content()


def core() -> bytes:
    """Return a core file of x86-64."""
    writer = CoreWriter(CORE_AMD64)
    writer.thread(7, rip=0x40_0100, rsp=0x7FFD_0000)
    writer.process(7)
    writer.signal(11, 1, 0x45)
    writer.thread(8, rip=0x40_0200, rsp=0x7FFD_0000)
    writer.module(0x40_0000, 0x40_4000, "/bin/crash", bytes.fromhex(BUILD_ID), address=0x40_0000)
    writer.memory(0x7FFD_0000, words(8, 0x7FFD_0010, 0x40_0123, 0, 0))
    return writer.content()


def core_arm() -> bytes:
    """Return a core file of 32-bit ARM."""
    writer = CoreWriter(CORE_ARM, signal=6)
    writer.thread(7, pc=0x4000_0100, sp=0xBE00_0000, lr=0x4000_0200)
    writer.signal(6, -6)
    writer.module(0x4000_0000, 0x4000_4000, "/lib/libc.so.6", bytes.fromhex(BUILD_ID))
    writer.memory(0xBE00_0000, words(4, 0, 0x4000_0101, 0, 0))
    return writer.content()


SAMPLES: Final[dict[str, Callable[[], bytes]]] = {
    function.__name__: function
    for function in (linux, windows, windows_full, windows_code, macos, ios, android)
}
CORES: Final[dict[str, Callable[[], bytes]]] = {"core": core, "core_arm": core_arm}
