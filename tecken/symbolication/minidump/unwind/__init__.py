"""Unwinding: from the registers and the stack of a thread to its frames.

`walk.walk` walks the threads of a dump side by side. Each frame's caller is searched in three ways, the most
certain one first: with call frame information (`cfi`, and `win` for x86), with the frame pointer
(`frame_pointer`), and by a scan of the stack for return addresses (`scan`). `arch` has the processors.

The rules are those of rust-minidump, down to its heuristics, so that both give the same frames for the same
symbols: https://docs.rs/minidump-unwind, https://docs.rs/breakpad-symbols. Stacks and symbols come from
strangers, so each loop has a bound.
"""

from tecken.symbolication.minidump.unwind.walk import walk

__all__ = ["walk"]
