"""Change registers, stacks and unwind information at random, and compare our walks with minidump-stackwalk's.

    python -m bench.minidump_mutants --count 3600 --seed 1
    python -m bench.minidump_mutants --symbols DIR X.dmp ...

A dump of a real crash has one way through its stack. Those of its mutants end, loop, jump into other modules
and point past the ends of memory. Values come from the dump: its stacks, its modules, and numbers close to
those that are there. For two of three mutants the rules of the symbols are changed, too, or only they are.
Prints each mutant that differs and what differs in it; --keep DIR writes it there. The exit status is 1 if
one differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from bench.minidump_oracle import contents
from bench.mutated_rules import mutate_cfi, mutate_win
from tecken.symbolication.minidump.dump import DumpModule
from tecken.symbolication.minidump.dump_bytes import DumpBytes
from tecken.symbolication.minidump.read import read_minidump
from tests.oracle import minidumps

THREAD_LIST, EXCEPTION = 3, 6
THREAD = Struct("<24xQIIII")  # base of the stack, its size and offset, size and offset of the context
EXCEPTION_CONTEXT = Struct("<160xII")
WIDE = ("amd64", "arm64")
# A STACK WIN program that assigns no address makes it add frames until its memory ends.
STACKWALK_SECONDS = 10.0
MOST_SYMBOL_BYTES = 1 << 17
CHANGES = (1, 1, 2, 4, 16)
NUDGES = (-8, -4, -1, 1, 4, 8)


class Range(NamedTuple):
    """Bytes at an offset in the file; of a stack, `base` is their address."""

    offset: int
    size: int
    base: int = 0


class Mutator:
    """Changes of one dump."""

    def __init__(self, content: bytes, chance: random.Random) -> None:
        self._content = content
        self._chance = chance
        dump = read_minidump(memoryview(content))
        self._word = 8 if dump.system.cpu in WIDE else 4
        self._modules: Sequence[DumpModule] = dump.modules.all
        raw = DumpBytes(memoryview(content))
        threads = list(raw.records(raw.stream(THREAD_LIST) or memoryview(b""), THREAD, "threads", 1024))
        self._stacks = [Range(rva, size, base) for base, size, rva, _, _ in threads if size]
        contexts = [Range(rva, size) for *_, size, rva in threads if size]
        if exception := raw.stream(EXCEPTION):
            size, rva = EXCEPTION_CONTEXT.unpack_from(exception)
            contexts.append(Range(rva, size))
        self._known = [(stack.base, stack.base + stack.size) for stack in self._stacks]
        self._known += [(module.base, module.base + module.size) for module in self._modules]
        # Words that the walk can follow: those of stacks and contexts that point into a stack or a module.
        self._stack_places = [place for stack in self._stacks for place in self._pointers(stack)]
        self._register_places = [place for context in contexts for place in self._pointers(context)]

    def _pointers(self, part: Range) -> list[int]:
        places = range(part.offset, part.offset + part.size - self._word + 1, self._word)
        return [place for place in places if self._is_pointer(self._read(self._content, place))]

    def _is_pointer(self, value: int) -> bool:
        return any(start <= value < end for start, end in self._known)

    def _read(self, content: bytes | bytearray, place: int) -> int:
        return int.from_bytes(content[place : place + self._word], "little")

    def mutant(self) -> bytes:
        """Return the dump with some words of its stacks or registers changed."""
        changed = bytearray(self._content)
        for _ in range(self._chance.choice(CHANGES)):
            places = self._register_places if self._chance.random() < 0.3 else self._stack_places
            place = self._chance.choice(places)
            value = self._value(changed) % (1 << 8 * self._word)
            changed[place : place + self._word] = value.to_bytes(self._word, "little")
        return bytes(changed)

    def _value(self, changed: bytearray) -> int:
        stack = self._chance.choice(self._stacks)
        module = self._chance.choice(self._modules)
        at = stack.offset + self._chance.randrange(stack.size // self._word) * self._word
        there = self._read(changed, at)
        values = (
            0,
            -1 - self._chance.randrange(64),
            self._chance.randrange(5000),
            self._chance.getrandbits(8 * self._word),
            stack.base + self._chance.randrange(stack.size),
            stack.base + at - stack.offset,
            module.base + self._chance.randrange(max(module.size, 1)),
            there + self._chance.choice(NUDGES),
            there,
        )
        return self._chance.choice(values)


class Tally:
    """Numbers of mutants, of their frames, and of mutants whose stacks are not those of the original dump."""

    def __init__(self) -> None:
        self.mutants = self.frames = self.moved = self.refused = self.endless = self.different = 0

    def __str__(self) -> str:
        return (
            f"{self.mutants} mutants with {self.frames} frames: {self.moved} have other stacks, "
            f"{self.different} differ; minidump-stackwalk refused the symbols of {self.refused} more, "
            f"and came to no end with {self.endless}"
        )


class Comparison:
    """Comparison of one dump's mutants with the program's reports; `folder` has the symbols."""

    def __init__(self, program: str, symbols: minidumps.SymbolFiles, folder: Path, tally: Tally) -> None:
        self._program = program
        self._symbols = symbols
        self._folder = folder
        self._tally = tally

    def run(
        self, content: bytes, count: int, chance: random.Random
    ) -> Iterator[tuple[int, bytes, list[str]]]:
        """Yield number, content and differences of each mutant that differs."""
        mutator = Mutator(content, chance)
        original = self._ours(content, self._symbols)["threads"]
        for number in range(count):
            kind = chance.randrange(3)
            mutant = content if kind == 1 else mutator.mutant()
            symbols = mutate_rules(self._symbols, chance) if kind else self._symbols
            minidumps.write_symbols(symbols, self._folder)
            try:
                report = minidumps.run_stackwalk(
                    self._program, mutant, self._folder, seconds=STACKWALK_SECONDS
                )
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
                self._tally.endless += 1
                continue
            if any(module["corrupt_symbols"] for module in report["modules"]):
                self._tally.refused += 1
                continue
            theirs = minidumps.comparable(report)
            found = list(minidumps.differences(self._ours(mutant, symbols), theirs))
            self._tally.mutants += 1
            self._tally.frames += sum(len(thread["frames"]) for thread in theirs["threads"])
            self._tally.moved += theirs["threads"] != original
            self._tally.different += bool(found)
            if found:
                yield number, mutant, found

    def _ours(self, content: bytes, symbols: minidumps.SymbolFiles) -> Any:
        modules = {key: _module(sym) for key, sym in symbols.items()}
        return orjson.loads(orjson.dumps(minidumps.comparable(minidumps.report_of(content, modules))))


@lru_cache(256)
def _module(sym: bytes) -> minidumps.UnwoundModule:
    return minidumps.UnwoundModule(sym)


def mutate_rules(symbols: minidumps.SymbolFiles, chance: random.Random) -> minidumps.SymbolFiles:
    """Return small symbol files with other rules, and large ones as they are."""
    mutate = mutate_win if chance.random() < 0.5 else mutate_cfi
    return {
        key: sym if len(sym) > MOST_SYMBOL_BYTES else (mutate if _is_x86(sym) else mutate_cfi)(sym, chance)
        for key, sym in symbols.items()
    }


def _is_x86(sym: bytes) -> bool:
    return sym.split(b" ", 3)[2] == b"x86"


def main() -> int:
    """Compare the mutants of all dumps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dumps", type=Path, nargs="*", metavar="X.dmp")
    parser.add_argument("--symbols", type=Path, default=minidumps.DATA / "symbols", metavar="DIR")
    parser.add_argument("--count", type=int, default=3600, help="mutants in total")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the mutants that differ there")
    options = parser.parse_args()
    program = minidumps.find_stackwalk()
    if not program:
        parser.error("install it first: cargo install minidump-stackwalk --version 0.27.0 --locked")
    dumps = list(contents(options.dumps))
    symbols = minidumps.read_symbols(options.symbols)
    chance = random.Random(options.seed)
    tally = Tally()
    with TemporaryDirectory() as folder:
        comparison = Comparison(program, symbols, Path(folder), tally)
        for name, content in dumps:
            for number, mutant, found in comparison.run(content, options.count // len(dumps), chance):
                print(f"{name} {number}: {len(found)} differences", *found[:3], sep="\n    ", flush=True)
                if options.keep:
                    place = options.keep / f"{name}-{options.seed}-{number}"
                    shutil.copytree(folder, place, dirs_exist_ok=True)
                    (place / "dump.dmp").write_bytes(mutant)
    print(tally)
    return int(tally.different > 0)


if __name__ == "__main__":
    sys.exit(main())
