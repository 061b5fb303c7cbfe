"""Walk of all threads of a dump, side by side.

Each thread stops when it needs symbols, and one call then answers all threads. So a dump with many threads
takes about as many calls as its deepest stack has frames.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tecken.symbolication.minidump.dump import Minidump
from tecken.symbolication.minidump.port import SymbolAccess
from tecken.symbolication.minidump.stack import Stack
from tecken.symbolication.minidump.unwind.answers import Answers
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES
from tecken.symbolication.minidump.unwind.thread import ThreadWalk, Unwinder

MAX_FRAMES: Final = 1024

# Words of stacks that are searched for modules to prepare, of one thread and of all, and the modules.
PREPARED_WORDS: Final = 8 << 10
ALL_PREPARED_WORDS: Final = 128 << 10
PREPARED_MODULES: Final = 64


def walk(dump: Minidump, symbols: SymbolAccess, max_frames: int = MAX_FRAMES) -> list[Stack]:
    """Return the stack of each thread of a dump.

    A thread without registers has no frames, and one without a stack only that of its registers. A stack is
    cut at `max_frames`, and all of them at limits of the whole dump.
    """
    arch = ARCHITECTURES.get(dump.system.cpu)
    if arch is None:
        return [Stack(()) for _ in dump.threads]
    answers = Answers(symbols, arch)
    unwinder = Unwinder(dump, arch, answers, max_frames)
    walks = [ThreadWalk(unwinder, thread) for thread in dump.threads]
    symbols.prepare(_likely_modules(walks))
    runs = [walk.run() for walk in walks]
    while runs:
        # A thread that ends has no next stop.
        runs = [run for run in runs if next(run, run) is None]
        answers.fetch()
    return [Stack(tuple(walk.frames), walk.is_cut) for walk in walks]


def _likely_modules(walks: list[ThreadWalk]) -> list[int]:
    """Return the modules that the walks will need, those of the registers and then the most frequent ones.

    Words of stacks point into more modules than their frames are in, and loading a module takes longer than
    reading a stack.
    """
    executing = [walk.frames[0].module for walk in walks if walk.frames]
    words = min(PREPARED_WORDS, ALL_PREPARED_WORDS // max(1, len(walks)))
    hits = Counter(module for walk in walks for module in walk.modules_in_stack(words))
    likely = [module for module, _ in hits.most_common(PREPARED_MODULES)]
    modules = dict.fromkeys([*(module for module in executing if module is not None), *likely])
    return list(modules)[:PREPARED_MODULES]
