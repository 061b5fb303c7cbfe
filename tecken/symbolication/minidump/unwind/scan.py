"""Scan of the stack for return addresses, the last resort of a walk."""

from __future__ import annotations

from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import Modules, Registers
from tecken.symbolication.minidump.port import ModulePlace
from tecken.symbolication.minidump.stack import Trust
from tecken.symbolication.minidump.unwind.arch import AMD64, X86, Architecture, CallerFrame, Read
from tecken.symbolication.minidump.unwind.memory import StackMemory

# Pointers that are scanned. After a frame whose stack pointer is certain the scan may skip frames without
# symbols, such as compiled scripts.
_WORDS: Final = 40
_WORDS_OF_CERTAIN: Final = 4 * _WORDS

# Largest distance of two frame pointers that is likely.
_MAX_FRAME: Final = 128 * 1024


class ScanCandidate(NamedTuple):
    """Word of the stack that may be a return address: its number from the stack pointer on, and its place.

    The place is that of the byte before it: after a call of a function that does not return there may be
    another function.
    """

    number: int
    address: int
    place: ModulePlace


class StackScanner:
    """Scanner of stacks for words that point into the modules of a dump."""

    def __init__(self, arch: Architecture, modules: Modules) -> None:
        self._arch = arch
        self._modules = modules
        self._lowest = min((module.base for module in modules.all), default=0)
        self._highest = max((module.base + module.size for module in modules.all), default=0)

    def find(self, memory: StackMemory, stack: int, trust: Trust) -> list[ScanCandidate]:
        """Return the candidates from the stack pointer of a frame with this trust on."""
        words = memory.words(stack, _WORDS_OF_CERTAIN if trust in {"context", "cfi"} else _WORDS)
        found = ((number, word, self.place(word)) for number, word in enumerate(words))
        return [ScanCandidate(number, word, place) for number, word, place in found if place]

    def place(self, word: int) -> ModulePlace | None:
        """Return the place of the byte before an address; None for one that is not in a module."""
        # Most words are not in any module, and are refused without a search.
        if not self._lowest < word <= self._highest or not self._arch.is_code(word):
            return None
        module = self._modules.find(word - 1)
        return None if module is None else ModulePlace(module, word - 1 - self._modules.all[module].base)


def caller_of_scan(
    arch: Architecture, candidate: ScanCandidate, registers: Registers, read: Read
) -> CallerFrame | None:
    """Return the caller whose return address is a candidate."""
    width = arch.pointer_bytes
    place = registers[arch.stack] + width * candidate.number
    stack = place + width
    if stack > arch.largest:
        return None
    known = {arch.instruction: candidate.address, arch.stack: stack}
    frame = _frame_pointer(arch, candidate.number, place, registers, read)
    if frame is not None:
        known[arch.frame] = frame
    return CallerFrame(candidate.address, stack, "scan", known)


def _frame_pointer(
    arch: Architecture, number: int, place: int, registers: Registers, read: Read
) -> int | None:
    """Return the frame pointer of the caller whose return address is at a place, None if it is not known.

    Either the word below is the saved one, or the callee has kept it.
    """
    if arch.name not in {AMD64.name, X86.name} or not number:
        return None
    width, last = arch.pointer_bytes, registers.get(arch.frame)
    saved = read(place - width)
    is_saved = saved is not None and place < saved <= place - width + _MAX_FRAME
    if arch is AMD64:
        is_saved = is_saved and last == place - width
    if is_saved and saved is not None:
        return saved if read(saved) is not None else None
    if last is None or last < place + width:
        return None
    return last if arch is AMD64 or read(last) is not None else None
