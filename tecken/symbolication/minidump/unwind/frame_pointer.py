"""Callers by the frame pointer, which points to the saved frame pointer and the return address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.unwind.arch import AMD64, ARM, ARM64, X86, Architecture, CallerFrame, Read

# On 64-bit Windows the frame pointer may point up to 240 bytes into the frame, in steps of 16 bytes.
_WINDOWS_STEPS: Final = range(0, 256, 16)

FindCaller = Callable[[Registers, Read], CallerFrame | None]
"""Search for the caller of a frame with these registers."""


def frame_pointer_search(arch: Architecture, os: str, address_mask: int) -> FindCaller | None:
    """Return the search for callers by the frame pointer; None where there is no such convention.

    `address_mask` removes the bits with which arm64 signs pointers.
    """
    if arch is AMD64:
        steps = _WINDOWS_STEPS if os == "Windows NT" else range(1)
        return lambda registers, read: _find_amd64(registers, read, steps)
    if arch is ARM64:
        return lambda registers, read: _find_arm64(registers, read, address_mask)
    if arch is ARM:
        # Elsewhere the link register and the frame pointer have other uses.
        return _find_arm if os == "iOS" else None
    return _find_x86


def _find_x86(registers: Registers, read: Read) -> CallerFrame | None:
    frame = registers.get("ebp")
    if frame is None or frame >= X86.largest - 8:
        return None
    address, caller_frame = read(frame + 4), read(frame)
    if address is None or caller_frame is None:
        return None
    known = {"eip": address, "esp": frame + 8, "ebp": caller_frame}
    return CallerFrame(address, frame + 8, "frame_pointer", known)


def _find_amd64(registers: Registers, read: Read, steps: range) -> CallerFrame | None:
    first, callee_stack = registers.get("rbp"), registers.get("rsp")
    if first is None or callee_stack is None or first >= AMD64.largest - 16:
        return None
    for step in steps:
        frame = first + step
        address, caller_frame, stack = read(frame + 8), read(frame), frame + 16
        if address is None or caller_frame is None:
            return None
        # Frames of callers are above those of their callees, all of them in the stack.
        if caller_frame < stack:
            continue
        if read(caller_frame) is None:
            return None
        if address not in AMD64.gap and stack > callee_stack and read(stack) is not None:
            known = {"rip": address, "rsp": stack, "rbp": caller_frame}
            return CallerFrame(address, stack, "frame_pointer", known)
    return None


def _find_arm(registers: Registers, read: Read) -> CallerFrame | None:
    frame, callee_stack = registers.get("fp"), registers.get("sp")
    # A frame pointer of 0 is the end of the stack. rust-minidump ends the walk there, without a scan.
    if frame == 0 and callee_stack is not None:
        return CallerFrame(0, callee_stack, "frame_pointer", {})
    if frame is None or callee_stack is None or frame >= ARM.largest - 8:
        return None
    caller_frame, address = read(frame), read(frame + 4)
    if address is None or caller_frame is None:
        return None
    known = {"pc": address, "sp": frame + 8, "fp": caller_frame}
    return CallerFrame(address, frame + 8, "frame_pointer", known)


def _find_arm64(registers: Registers, read: Read, mask: int) -> CallerFrame | None:
    frame = registers.get("fp")
    if not frame or "sp" not in registers or frame >= ARM64.largest - 16:
        return None
    caller_frame, address = read(frame), read(frame + 8)
    if caller_frame is None or address is None:
        return None
    caller_frame, address = caller_frame & mask, address & mask
    if not ARM64.is_code(address):
        return None
    known = {"pc": address, "sp": frame + 16, "fp": caller_frame}
    # The frame record of the caller has the link register that the caller had when it was called.
    link = read(caller_frame + 8) if caller_frame else None
    if link is not None:
        known["lr"] = link & mask
    return CallerFrame(address, frame + 16, "frame_pointer", known)
