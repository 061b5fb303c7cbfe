"""Reading of a minidump: the streams that a report needs.

Streams that are not read: comments, function tables, JavaScript data, tokens, system memory info, virtual
memory counters, processor traces, thread info, Windows CE's streams; of Linux the command line, the
environment, the auxiliary vector and the list of DSOs (the first two can have secrets); and Chromium's
stability report. Misc info is read up to the process times.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import orjson

from tecken.errors import Malformed
from tecken.symbolication.minidump.annotations import read_annotations
from tecken.symbolication.minidump.apple import read_boot_args, read_crash_info
from tecken.symbolication.minidump.contexts import read_context
from tecken.symbolication.minidump.core_file import has_code_in_core, read_core
from tecken.symbolication.minidump.crash_analysis import DISASSEMBLED_CPU, CrashScene, analyze_crash
from tecken.symbolication.minidump.crash_reason import explain_crash
from tecken.symbolication.minidump.dump import Minidump, Modules
from tecken.symbolication.minidump.dump_bytes import DumpBytes, unpack
from tecken.symbolication.minidump.exception import (
    EXCEPTION,
    read_exception,
    read_special_threads,
)
from tecken.symbolication.minidump.findings import CrashAnalysis
from tecken.symbolication.minidump.handles import read_handles
from tecken.symbolication.minidump.linux_files import (
    read_limits,
    read_mappings,
    read_microcode,
    read_process_id,
    read_release,
)
from tecken.symbolication.minidump.memory import read_memory
from tecken.symbolication.minidump.module_list import read_modules, read_unloaded
from tecken.symbolication.minidump.protections import MappedRange, read_protections
from tecken.symbolication.minidump.signature import HEAD_BYTES, is_core
from tecken.symbolication.minidump.system_info import read_system
from tecken.symbolication.minidump.thread_list import read_threads
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES, SUPPORTED

MAX_SOFT_ERROR_BYTES: Final = 1 << 20

_MISC_INFO: Final = 15
_SOFT_ERRORS: Final = 0x4D7A_0004
_MISC: Final = Struct("<6I")
_HAS_ID: Final = 1
_HAS_TIMES: Final = 2


def read_dump(data: memoryview) -> Minidump:
    """Return the parts of a minidump or a core file. Raises Malformed."""
    return (read_core if is_core(bytes(data[:HEAD_BYTES])) else read_minidump)(data)


def needs_disassembler(data: memoryview) -> bool:
    """Return whether the crash of a dump is analyzed with the disassembler. Raises Malformed."""
    if is_core(bytes(data[:HEAD_BYTES])):
        return has_code_in_core(data)
    dump = DumpBytes(data)
    return dump.has_stream(EXCEPTION) and read_system(dump).info.cpu == DISASSEMBLED_CPU


def read_minidump(data: memoryview) -> Minidump:
    """Return the parts of a minidump. Nothing of its memory is copied.

    Raises:
        Malformed: The file is no minidump, or has no system info or no list of threads. Other parts that
            cannot be read are left out, with a warning.
    """
    dump = DumpBytes(data)
    system = read_system(dump)
    info = system.info._replace(cpu_microcode=read_microcode(dump))
    # Texts of a dump have a bound: names of modules, without which it is of little use, come first.
    modules = Modules(read_modules(dump, info.os))
    memory = read_memory(dump)
    exception = read_exception(dump)
    threads, requesting = read_threads(dump, system, memory, exception, read_special_threads(dump))
    if info.cpu not in ARCHITECTURES:
        processor = f"{info.cpu}, {system.architecture:#x}"
        dump.warn(f"stacks of this processor ({processor}) cannot be walked; only {SUPPORTED}")
    mappings = read_mappings(dump)
    crash, analysis = None, CrashAnalysis()
    if exception:
        crash = explain_crash(exception, info.os, info.cpu)
        registers = read_context(exception.context, system.architecture)
        stack = None if requesting is None else threads[requesting].stack
        protections = read_protections(dump, mappings)
        scene = CrashScene(info.os, info.cpu, registers, stack, memory, protections)
        analysis = analyze_crash(crash, scene)
    process_id, uptime = _process(dump)
    return Minidump(
        system=info,
        modules=modules,
        unloaded=read_unloaded(dump),
        threads=threads,
        crash=crash,
        requesting_thread=requesting,
        process_id=process_id,
        uptime_seconds=uptime,
        facts=_facts(dump, info.cpu, mappings),
        warnings=tuple(dump.warnings),
        analysis=analysis,
    )


def _process(dump: DumpBytes) -> tuple[int | None, int | None]:
    """Return the id of the process, and the seconds for which it ran."""
    misc = dump.read_stream(_MISC_INFO, "misc info", lambda stream: unpack(_MISC, stream), None)
    if misc is None:
        return read_process_id(dump), None
    _, flags, process_id, create_time, _, _ = misc
    return (
        process_id if flags & _HAS_ID else None,
        max(dump.time_stamp - create_time, 0) if flags & _HAS_TIMES else None,
    )


def _facts(dump: DumpBytes, cpu: str, mappings: Sequence[MappedRange] | None) -> dict[str, object]:
    """Return the parts that a report only passes on."""
    return {
        "lsb_release": read_release(dump),
        "proc_limits": read_limits(dump),
        "linux_memory_map_count": None if mappings is None else len(mappings),
        "mac_crash_info": read_crash_info(dump, cpu),
        "mac_boot_args": read_boot_args(dump),
        "handles": read_handles(dump),
        "soft_errors": dump.read_stream(_SOFT_ERRORS, "errors of the writer", _soft_errors, None),
        "crashpad": read_annotations(dump),
    }


def _soft_errors(stream: memoryview) -> object:
    """Return the JSON in which the writer of the dump describes what it could not write."""
    if len(stream) > MAX_SOFT_ERROR_BYTES:
        raise Malformed(f"their {len(stream)} bytes are more than {MAX_SOFT_ERROR_BYTES}")
    try:
        return orjson.loads(stream)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"they are no JSON: {error}") from error
