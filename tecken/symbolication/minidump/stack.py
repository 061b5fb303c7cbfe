"""Stack of one thread: the result of a walk."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tecken.symbolication.minidump.dump import Registers

Trust = Literal["context", "cfi", "frame_pointer", "scan"]
"""How a frame was found, the most certain way first."""


class StackFrame(NamedTuple):
    """Frame of a walked thread.

    `instruction` is the address to look up: that of the context, or an address inside the call before the
    return address. `module` is the index of the module that covers it, None if no module does. `registers`
    are the registers of the frame that are known.
    """

    instruction: int
    module: int | None
    trust: Trust
    registers: Registers


class Stack(NamedTuple):
    """Frames of one thread, the innermost first. `is_cut` is whether the walk ended at a limit."""

    frames: tuple[StackFrame, ...]
    is_cut: bool = False
