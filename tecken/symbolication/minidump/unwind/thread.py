"""Walk of one thread, which stops where it needs symbols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tecken.symbolication.minidump.dump import DumpThread, Minidump, Registers
from tecken.symbolication.minidump.port import ModulePlace
from tecken.symbolication.minidump.stack import StackFrame
from tecken.symbolication.minidump.unwind.answers import Answers
from tecken.symbolication.minidump.unwind.arch import ARM, ARM64, FIRST_ADDRESS, Architecture, CallerFrame
from tecken.symbolication.minidump.unwind.frame_pointer import frame_pointer_search
from tecken.symbolication.minidump.unwind.memory import StackMemory
from tecken.symbolication.minidump.unwind.scan import ScanCandidate, StackScanner, caller_of_scan

# Frames of a whole dump. One of 1,000 threads has about half as many.
MAX_ALL_FRAMES: Final = 1 << 16

# Bits of an address that are not a signature, as Apple's systems use them on arm64.
_APPLE_BITS: Final = 47


class Unwinder:
    """What the walks of all threads of a dump share."""

    def __init__(self, dump: Minidump, arch: Architecture, answers: Answers, max_frames: int) -> None:
        self.arch = arch
        self.max_frames = max_frames
        self.frames_left = MAX_ALL_FRAMES
        self.modules = dump.modules
        self.answers = answers
        self.scanner = StackScanner(arch, dump.modules)
        self.address_mask = _address_mask(dump) if arch is ARM64 else arch.largest
        self.find_by_frame_pointer = frame_pointer_search(arch, dump.system.os, self.address_mask)

    def frame(self, caller: CallerFrame, call_bytes: int) -> StackFrame:
        """Return the frame of a caller: that of the call before its return address."""
        instruction = caller.instruction - call_bytes
        return StackFrame(instruction, self.modules.find(instruction), caller.trust, caller.registers)

    def place(self, frame: StackFrame) -> ModulePlace | None:
        """Return the place of a frame, None outside of all modules."""
        if frame.module is None:
            return None
        return ModulePlace(frame.module, frame.instruction - self.modules.all[frame.module].base)


def _address_mask(dump: Minidump) -> int:
    """Return the bits of an address on arm64, where the others may be a signature of the pointer."""
    last = max(dump.modules.all, key=lambda module: module.base, default=None)
    end = last.base + last.size if last else 0
    return int((1 << max((1 << _APPLE_BITS) - 1, end - 1).bit_length()) - 1)


class ThreadWalk:
    """Frames of one thread, which `run` adds until the stack or a limit ends."""

    def __init__(self, unwinder: Unwinder, thread: DumpThread) -> None:
        self._unwinder = unwinder
        self._arch = unwinder.arch
        self._memory = _memory(thread, self._arch)
        self.frames: list[StackFrame] = []
        self.is_cut = False
        if thread.registers is not None:
            address = thread.registers.get(self._arch.instruction, 0)
            stack = thread.registers.get(self._arch.stack, 0)
            self.frames.append(unwinder.frame(CallerFrame(address, stack, "context", thread.registers), 0))

    def modules_in_stack(self, count: int) -> Iterator[int]:
        """Yield the module of each of the first words of the stack that points into one."""
        if self.frames and self._memory:
            words = self._memory.words(self.frames[0].registers.get(self._arch.stack, 0), count)
            mask = self._unwinder.address_mask
            for word in set(words):
                place = self._unwinder.scanner.place(word & mask)
                if place:
                    yield place.module

    def run(self) -> Iterator[None]:
        """Add the frames. Each `yield` waits for the symbols that were requested before."""
        answers, memory = self._unwinder.answers, self._memory
        while self.frames and memory:
            frame = self.frames[-1]
            place = self._unwinder.place(frame)
            if answers.request_rules(place):
                yield
            caller = self._find_by_rules(frame, place, memory) or self._find_by_frame_pointer(frame, memory)
            if caller is None:
                candidates = self._candidates(frame, memory)
                if answers.request_functions(candidate.place for candidate in candidates):
                    yield
                caller = self._choose(candidates, frame, memory)
            if caller is None or not self._is_caller(caller, frame) or not self._has_room():
                return
            self.frames.append(self._unwinder.frame(caller, self._arch.call_bytes))

    def _has_room(self) -> bool:
        """Return whether there may be one more frame, and count it."""
        self._unwinder.frames_left -= 1
        self.is_cut = len(self.frames) >= self._unwinder.max_frames or self._unwinder.frames_left < 0
        return not self.is_cut

    def _find_by_rules(
        self, frame: StackFrame, place: ModulePlace | None, memory: StackMemory
    ) -> CallerFrame | None:
        rules = self._unwinder.answers.rules(place)
        registers = frame.registers
        if not (rules.win or rules.cfi) or self._arch.stack not in registers or place is None:
            return None
        if rules.win:
            caller = rules.win.apply(registers, memory.read, self._forwarded(frame), self._callee_bytes())
            if caller:
                return caller
        if not rules.cfi:
            return None
        if self._arch is ARM64 and frame.trust == "frame_pointer" and place.offset != rules.cfi.start:
            # The link register of the frame record is that at the function's entry, and later it may differ.
            registers = {name: value for name, value in registers.items() if name != "lr"}
        caller = rules.cfi.apply(registers, memory.read, self._forwarded(frame))
        return self._without_signatures(caller) if caller and self._arch is ARM64 else caller

    def _forwarded(self, frame: StackFrame) -> Registers:
        """Return the registers that a frame keeps for its caller."""
        registers = frame.registers
        forwarded = {name: registers[name] for name in self._arch.saved if name in registers}
        # In rust-minidump the frame pointer of such a frame has another name, and is not forwarded.
        if frame.trust == "frame_pointer" and self._arch in (ARM, ARM64):
            forwarded.pop(self._arch.frame, None)
        return forwarded

    def _callee_bytes(self) -> int | None:
        """Return the size of the parameters of the last frame's callee, None for the first frame."""
        if len(self.frames) == 1:
            return None
        return self._unwinder.answers.rules(self._unwinder.place(self.frames[-2])).parameter_bytes

    def _without_signatures(self, caller: CallerFrame) -> CallerFrame:
        mask = self._unwinder.address_mask
        signed = {
            name: caller.registers[name] & mask for name in ("pc", "lr", "fp") if name in caller.registers
        }
        return caller._replace(instruction=caller.instruction & mask, registers=caller.registers | signed)

    def _find_by_frame_pointer(self, frame: StackFrame, memory: StackMemory) -> CallerFrame | None:
        find = self._unwinder.find_by_frame_pointer
        return find(frame.registers, memory.read) if find else None

    def _candidates(self, frame: StackFrame, memory: StackMemory) -> list[ScanCandidate]:
        """Return the words of the stack that may be the return address."""
        stack = frame.registers.get(self._arch.stack)
        if stack is None:
            return []
        if self._unwinder.answers.is_full:
            self.is_cut = True
            return []
        return self._unwinder.scanner.find(memory, stack, frame.trust)

    def _choose(
        self, candidates: list[ScanCandidate], frame: StackFrame, memory: StackMemory
    ) -> CallerFrame | None:
        for candidate in candidates:
            if self._unwinder.answers.may_be_code(candidate.place):
                return caller_of_scan(self._arch, candidate, frame.registers, memory.read)
        return None

    def _is_caller(self, caller: CallerFrame, frame: StackFrame) -> bool:
        """Return whether a walk continues with a caller: it has an address, and the stack advances."""
        stack = frame.registers.get(self._arch.stack, 0)
        if caller.instruction < FIRST_ADDRESS or caller.stack < stack:
            return False
        if caller.stack > stack:
            return True
        # A function without a stack frame has its return address in the link register.
        if self._arch is ARM64 and caller.instruction != frame.registers.get(self._arch.instruction, 0):
            return frame.trust == "context" or caller.trust == "cfi"
        return self._arch is ARM and frame.trust == "context"


def _memory(thread: DumpThread, arch: Architecture) -> StackMemory | None:
    """Return the stack of a thread, None without one."""
    stack = thread.stack
    is_usable = stack and 0 < len(stack.content) <= (1 << 64) - stack.base
    return StackMemory(stack, arch.pointer_bytes) if stack and is_usable else None
