"""JSON report of a minidump: the schema of rust-minidump, with additional keys.

Every key that rust-minidump 0.27 writes is there, with null where it writes null. Additional keys: `symbols`
and `symbols_reason` of a module, `is_cut` of a thread, `stack_overflow` of the crash, and at the top
`crashpad` and `warnings`.

Source: `json-schema.md` and `process_state.rs` of minidump-processor 0.27.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from tecken.symbolication.minidump.contexts import REGISTER_NAMES
from tecken.symbolication.minidump.crash_reason.windows import explain_windows_error
from tecken.symbolication.minidump.dump import DumpModule, DumpThread, Minidump
from tecken.symbolication.minidump.findings import AdjustedAddress, BitFlip, MemoryAccess, StackOverflow
from tecken.symbolication.minidump.module_list import base_name
from tecken.symbolication.minidump.port import ModuleState
from tecken.symbolication.minidump.stack import Stack, StackFrame
from tecken.symbolication.minidump.system_info import hex_address
from tecken.symbols.frame import Frame, Inline

# rust-minidump writes a debug id of zeros for a module without one.
_NO_DEBUG_ID: Final = "0" * 33
# A GUID's digits; the age comes after them, and after a time stamp of 8 digits for a PDB 2.0 file.
_GUID_DIGITS: Final = 32
_TIME_STAMP_DIGITS: Final = 8
# Names of files have at most 255 characters on any system; Linux adds " (deleted)". Each frame has the name
# of its module, so a long one would make a report of gigabytes.
_MAX_NAME: Final = 512
UNUSED: Final = ModuleState("unused")
JsonObject = dict[str, Any]


def write_report(
    dump: Minidump,
    stacks: Sequence[Stack],
    frames: Sequence[Sequence[Frame | None]],
    states: Sequence[ModuleState],
) -> bytes:
    """Return the report.

    Args:
        dump: The parsed dump.
        stacks: For each thread of the dump its stack.
        frames: For each stack and each of its frames the function that its instruction is in.
        states: For each module of the dump the state of its symbols. A module without frames gets "unused":
            its symbols may have been loaded in advance, or for a word of a stack.
    """
    writer = _Writer(dump)
    used = {frame.module for stack in stacks for frame in stack.frames}
    threads = [
        writer.thread(thread, stack, symbols)
        for thread, stack, symbols in zip(dump.threads, stacks, frames, strict=True)
    ]
    report: JsonObject = {
        "status": "OK",
        "system_info": writer.system(),
        "crash_info": writer.crash(),
        "main_module": 0,
        "modules_contains_cert_info": False,
        "modules": [
            writer.module(module, state if index in used else UNUSED)
            for index, (module, state) in enumerate(zip(dump.modules.all, states, strict=True))
        ],
        "pid": dump.process_id,
        "process_uptime": dump.uptime_seconds,
        "thread_count": len(threads),
        "threads": threads,
        "unloaded_modules": [writer.unloaded(module) for module in dump.unloaded],
        **dump.facts,
        "warnings": list(dump.warnings),
    }
    index = dump.requesting_thread
    if index is not None and stacks[index].frames:
        report["crashing_thread"] = writer.crashing_thread(index, threads[index], stacks[index].frames[0])
    return orjson.dumps(report)


class _Writer:
    """Writer of the objects of a report; addresses have the digits of the dump's processor."""

    def __init__(self, dump: Minidump) -> None:
        self._dump = dump
        self._cpu = dump.system.cpu

    def system(self) -> JsonObject:
        system = self._dump.system
        microcode = system.cpu_microcode
        return {
            "os": system.os,
            "os_ver": system.os_version,
            "cpu_arch": system.cpu,
            "cpu_info": system.cpu_info,
            "cpu_count": system.cpu_count,
            "cpu_microcode_version": None if microcode is None else f"{microcode:#x}",
        }

    def crash(self) -> JsonObject:
        crash = self._dump.crash
        found = self._dump.analysis
        accesses, target, adjusted = found.accesses, found.target, found.adjusted
        return {
            "type": crash.reason if crash else None,
            "address": self._hex(crash.address) if crash else None,
            "adjusted_address": adjusted and self._adjusted(adjusted),
            "instruction": found.instruction,
            "memory_accesses": None if accesses is None else [self._access(access) for access in accesses],
            "instruction_pointer_update": None if target is None else {"address": self._hex(target)},
            "possible_bit_flips": [self._bit_flip(flip) for flip in found.bit_flips] or None,
            "crash_inconsistencies": found.inconsistencies if crash else None,
            "stack_overflow": found.stack_overflow and self._overflow(found.stack_overflow),
            "crashing_thread": self._dump.requesting_thread,
            "assertion": None,
        }

    def _overflow(self, overflow: StackOverflow) -> JsonObject:
        base, size, distance = overflow
        return {"stack_address": self._hex(base), "stack_size": size, "distance": distance}

    def _adjusted(self, adjusted: AdjustedAddress) -> JsonObject:
        key = "offset" if adjusted.kind == "null-pointer" else "address"
        return {"kind": adjusted.kind, key: self._hex(adjusted.value)}

    def _access(self, access: MemoryAccess) -> JsonObject:
        written: JsonObject = {"address": self._hex(access.address), "size": access.size}
        if access.kind:
            written["access_type"] = access.kind
        if access.is_guard_page:
            written["is_likely_guard_page"] = True
        return written

    def _bit_flip(self, flip: BitFlip) -> JsonObject:
        return {
            "address": self._hex(flip.address),
            "source_register": flip.register,
            "confidence": flip.confidence,
            "details": {
                "was_non_canonical": flip.was_non_canonical,
                "is_null": flip.is_null,
                "was_low": flip.was_low,
                "nearby_registers": flip.nearby_registers,
                "poison_registers": flip.has_poison,
            },
        }

    def module(self, module: DumpModule, state: ModuleState) -> JsonObject:
        return {
            "base_addr": self._hex(module.base),
            "end_addr": self._hex(module.base + module.size),
            "filename": _short_name(module),
            "code_id": module.code_id,
            "debug_file": module.debug_file,
            "debug_id": _debug_id(module.debug_id),
            "version": module.version,
            "cert_subject": None,
            # rust-minidump counts symbols that it cannot parse as loaded and corrupt.
            "missing_symbols": state.state in ("missing", "unavailable"),
            "loaded_symbols": state.state in ("loaded", "corrupt"),
            "corrupt_symbols": state.state == "corrupt",
            "symbol_url": None,
            "symbols": state.state,
            "symbols_reason": state.reason or None,
        }

    def unloaded(self, module: DumpModule) -> JsonObject:
        return {
            "base_addr": self._hex(module.base),
            "end_addr": self._hex(module.base + module.size),
            "code_id": module.code_id,
            "filename": module.code_file,
            "cert_subject": None,
        }

    def thread(self, thread: DumpThread, stack: Stack, symbols: Sequence[Frame | None]) -> JsonObject:
        error = thread.last_error
        return {
            "thread_id": thread.id,
            "thread_name": thread.name,
            "last_error_value": None if error is None else explain_windows_error(error),
            "frame_count": len(stack.frames),
            "frames": [
                self.frame(number, frame, symbol)
                for number, (frame, symbol) in enumerate(zip(stack.frames, symbols, strict=True))
            ],
            "is_cut": stack.is_cut,
        }

    def frame(self, number: int, frame: StackFrame, symbol: Frame | None) -> JsonObject:
        module = None if frame.module is None else self._dump.modules.all[frame.module]
        offset = None if module is None else frame.instruction - module.base
        return {
            "frame": number,
            "offset": self._hex(frame.instruction),
            "module": module and _short_name(module),
            "module_offset": None if offset is None else self._hex(offset),
            "unloaded_modules": self._unloaded_at(frame.instruction) if module is None else None,
            "function": symbol.function if symbol else None,
            "function_offset": self._hex(offset - symbol.entry) if symbol and offset is not None else None,
            "file": (symbol.file or None) if symbol else None,
            "line": symbol.line if symbol and symbol.file else None,
            "inlines": _inlines(symbol.inlines) if symbol else None,
            "missing_symbols": symbol is None,
            "trust": frame.trust,
        }

    def crashing_thread(self, index: int, thread: JsonObject, first: StackFrame) -> JsonObject:
        """Return a copy of the crashing thread with its index and with the registers of its first frame."""
        frames = [{**thread["frames"][0], "registers": self._registers(first)}, *thread["frames"][1:]]
        return {**thread, "frames": frames, "threads_index": index}

    def _registers(self, frame: StackFrame) -> JsonObject:
        names = REGISTER_NAMES.get(self._cpu, ())
        return {name: self._hex(frame.registers[name]) for name in names if name in frame.registers}

    def _unloaded_at(self, address: int) -> list[JsonObject] | None:
        """Return the unloaded modules that an address was in, by name: programs load a module repeatedly."""
        offsets: dict[str, set[int]] = {}
        for module in self._dump.unloaded:
            if module.base <= address < module.base + module.size:
                offsets.setdefault(module.code_file, set()).add(address - module.base)
        return [
            {"module": name, "offsets": [self._hex(offset) for offset in sorted(places)]}
            for name, places in sorted(offsets.items())
        ] or None

    def _hex(self, address: int) -> str:
        return hex_address(address, self._cpu)


def _inlines(inlines: Sequence[Inline]) -> list[JsonObject] | None:
    """Return inlined calls, the deepest first. Only the line of the deepest one can be unknown."""
    return [
        {"function": inline.function, "file": inline.file or None, "line": inline.line or None}
        for inline in inlines
    ] or None


def _debug_id(debug_id: str) -> str:
    """Return a debug id with its age in lower case."""
    digits = _GUID_DIGITS if len(debug_id) > _GUID_DIGITS else _TIME_STAMP_DIGITS
    return debug_id[:digits] + debug_id[digits:].lower() if debug_id else _NO_DEBUG_ID


def _short_name(module: DumpModule) -> str:
    return base_name(module.code_file)[:_MAX_NAME]
