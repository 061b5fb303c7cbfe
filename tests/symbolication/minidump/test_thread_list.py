from __future__ import annotations

from struct import pack

from tecken.symbolication.minidump.dump import DumpThread, Minidump
from tecken.symbolication.minidump.memory import MAX_REGIONS
from tecken.symbolication.minidump.read import read_minidump
from tests.support.minidumps import (
    BREAKPAD,
    MEMORY,
    MEMORY64,
    NOWHERE,
    THREAD_NAMES,
    WINDOWS,
    X86,
    DumpWriter,
    Memory,
    Place,
    amd64_context,
    words,
    x86_context,
)

STACK = 0x7FF0_0000


def read(dump: DumpWriter) -> Minidump:
    return read_minidump(memoryview(dump.content()))


def stack_of(thread: DumpThread) -> tuple[int, bytes] | None:
    return (thread.stack.base, bytes(thread.stack.content)) if thread.stack else None


def test_thread_that_crashed_has_registers_of_the_exception() -> None:
    dump = DumpWriter()
    dump.thread(7, amd64_context(rip=1))
    dump.thread(8, amd64_context(rip=2))
    dump.exception(8, 11, context=dump.add(amd64_context(rip=3)))
    parsed = read(dump)
    registers = [thread.registers and thread.registers["rip"] for thread in parsed.threads]
    assert (registers, parsed.requesting_thread) == ([1, 3], 1)


def test_thread_has_its_own_registers_if_the_exception_has_none() -> None:
    dump = DumpWriter()
    dump.thread(8, amd64_context(rip=2))
    dump.exception(8, 11, context=Place(1232, 0xFFFF_FFF0))
    [thread] = read(dump).threads
    assert thread.registers is not None
    assert thread.registers["rip"] == 2


def test_context_that_ends_past_the_end_of_the_file_is_not_read() -> None:
    dump = DumpWriter()
    place = dump.add(amd64_context(rip=2))
    dump.thread(8)
    dump.exception(8, 11, context=place._replace(size=1 << 20))
    [thread] = read(dump).threads
    assert thread.registers is None


def test_thread_that_wrote_the_dump_is_skipped() -> None:
    dump = DumpWriter()
    dump.thread(7, amd64_context(rip=1), name="handler")
    dump.thread(8, amd64_context(rip=2))
    dump.breakpad(dump_thread=7, requesting_thread=8)
    parsed = read(dump)
    assert parsed.threads[0] == DumpThread(7, None, None)
    assert (parsed.requesting_thread, parsed.crash) == (1, None)


def test_thread_of_the_exception_counts_and_not_the_requesting_thread() -> None:
    dump = DumpWriter()
    dump.thread(7, amd64_context())
    dump.thread(8, amd64_context())
    dump.breakpad(requesting_thread=8)
    dump.exception(7, 6)
    assert read(dump).requesting_thread == 0


def test_threads_that_the_handler_does_not_name_are_ordinary() -> None:
    dump = DumpWriter()
    # Their ids are in the stream, and its flags say that they mean nothing.
    dump.stream(BREAKPAD, pack("<III", 0, 7, 8))
    dump.thread(7, amd64_context())
    dump.thread(8, amd64_context())
    parsed = read(dump)
    assert parsed.requesting_thread is None
    assert all(thread.registers for thread in parsed.threads)


def test_exception_of_a_thread_that_is_not_in_the_dump_gives_no_crashing_thread() -> None:
    dump = DumpWriter()
    dump.thread(7, amd64_context())
    dump.exception(9, 6)
    parsed = read(dump)
    assert parsed.requesting_thread is None
    assert parsed.crash is not None


def test_stack_is_the_memory_of_the_thread() -> None:
    dump = DumpWriter()
    stack = Memory(STACK, dump.add(words(8, 1, 2)))
    dump.thread(1, amd64_context(rsp=STACK + 8), stack)
    [thread] = read(dump).threads
    assert stack_of(thread) == (STACK, words(8, 1, 2))


def test_stack_without_a_place_is_found_in_the_list_of_memory() -> None:
    dump = DumpWriter(WINDOWS)
    dump.memory(STACK, words(8, 1, 2))
    dump.thread(1, b"", Memory(STACK + 8, NOWHERE))
    [thread] = read(dump).threads
    assert (thread.registers, stack_of(thread)) == (None, (STACK, words(8, 1, 2)))


def test_stack_is_the_region_at_the_stack_pointer_if_the_thread_has_another() -> None:
    dump = DumpWriter()
    stack = dump.memory(STACK, words(8, 1, 2))
    dump.memory(0x1000, words(8, 3, 4))
    dump.thread(1, amd64_context(rsp=0x1000), stack)
    # Four bytes are left at the end of the stack, so that a word of x86-64 is not.
    dump.thread(2, amd64_context(rsp=STACK + 12), stack)
    first, second = read(dump).threads
    assert stack_of(first) == (0x1000, words(8, 3, 4))
    assert stack_of(second) == (STACK, words(8, 1, 2))


def test_stack_past_the_end_of_the_file_is_none() -> None:
    dump = DumpWriter()
    dump.thread(1, amd64_context(rsp=STACK), Memory(STACK, Place(0xFFFF_FFFF, 0xFFFF_FFFF)))
    [thread] = read(dump).threads
    assert thread.stack is None


def test_full_list_of_memory_counts_and_not_the_other() -> None:
    dump = DumpWriter()
    dump.memory(STACK, words(8, 1))
    dump.memory64(0, words(8, 5))
    dump.memory64(STACK, words(8, 2))
    dump.thread(1, amd64_context(rsp=STACK))
    [thread] = read(dump).threads
    assert stack_of(thread) == (STACK, words(8, 2))


def test_list_of_memory_counts_if_the_full_one_is_broken() -> None:
    dump = DumpWriter()
    dump.memory(STACK, words(8, 1))
    dump.stream(MEMORY64, pack("<QQ", MAX_REGIONS + 1, 32) + bytes(16 * (MAX_REGIONS + 1)))
    dump.thread(1, amd64_context(rsp=STACK))
    parsed = read(dump)
    assert stack_of(parsed.threads[0]) == (STACK, words(8, 1))
    assert parsed.warnings == ("cannot read the list of all memory: 131073 regions are more than 131072",)


def test_of_regions_that_overlap_the_first_counts() -> None:
    dump = DumpWriter()
    dump.memory(STACK + 8, words(8, 9, 9, 9))
    dump.memory(STACK, words(8, 1, 2))
    dump.thread(1, amd64_context(rsp=STACK + 8))
    [thread] = read(dump).threads
    assert stack_of(thread) == (STACK, words(8, 1, 2))


def test_list_with_aligned_records_is_read() -> None:
    dump = DumpWriter()
    place = dump.add(words(8, 1))
    dump.stream(MEMORY, pack("<II", 1, 0) + pack("<QII", STACK, *place))
    dump.thread(1, amd64_context(rsp=STACK))
    [thread] = read(dump).threads
    assert stack_of(thread) == (STACK, words(8, 1))


def test_list_that_is_shorter_than_its_stream_gives_a_warning() -> None:
    dump = DumpWriter()
    place = dump.add(words(8, 1))
    dump.stream(MEMORY, pack("<I", 1) + pack("<QII", STACK, *place) * 2)
    assert read(dump).warnings == ("the list of regions of memory has 1, and 16 bytes follow it",)


def test_last_error_is_read_from_the_thread_environment_block() -> None:
    dump = DumpWriter(WINDOWS, X86)
    dump.memory(0x7FFD_E000, bytes(52) + words(4, 5, 6))
    dump.thread(1, x86_context(), teb=0x7FFD_E000)
    dump.thread(2, x86_context(), teb=0x7FFD_E008)
    first, second = read(dump).threads
    assert (first.last_error, second.last_error) == (5, None)


def test_names_belong_to_ids_and_unreadable_ones_are_left_out() -> None:
    dump = DumpWriter()
    dump.thread(1, name="main")
    dump.thread(2, name="\ud800")
    dump.thread(3)
    assert [thread.name for thread in read(dump).threads] == ["main", None, None]


def test_names_past_the_end_of_the_file_are_left_out() -> None:
    dump = DumpWriter()
    dump.thread(1)
    dump.thread(2)
    dump.thread(3)
    # A name of 4 GiB, one at an offset of 64 bits, and one of 64 KiB shortly before the end.
    long_name = dump.add(b"\xfe\xff\xff\xff").rva
    cut_name = dump.add(pack("<I", 1 << 16)).rva
    places = ((1, long_name), (2, (1 << 64) - 1), (3, cut_name))
    dump.stream(THREAD_NAMES, pack("<I", 3) + b"".join(pack("<IQ", *place) for place in places))
    assert [thread.name for thread in read(dump).threads] == [None, None, None]
