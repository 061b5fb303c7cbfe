"""Synthetic minidumps of crashes in real modules, for measurements.

The stacks are made from the call frame information of symbol files: each frame is at a place whose rule is
`.cfa: $rsp N +`, and the return address to the next frame is where the rule expects it. So a walk that reads
the right rules finds every frame, and any other walk ends early.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from bench.rig import Module
from tests.support.minidumps import DumpWriter, amd64_context, elf_record

_RECORD = re.compile(rb"\nSTACK CFI INIT ([0-9a-f]+) ([0-9a-f]+) ([^\n]*)((?:\nSTACK CFI (?!INIT)[^\n]*)*)")
_CHANGE = re.compile(rb"\nSTACK CFI ([0-9a-f]+) ([^\n]*)")
_FRAME_SIZE = re.compile(rb"\.cfa: \$rsp (\d+) \+")
WORD = 8
FIRST_BASE = 0x5500_0000_0000
FIRST_STACK = 0x7F00_0000_0000
MODULE_BYTES = 1 << 30
STACK_STEP = 1 << 24


class UnwindPlace(NamedTuple):
    """Module offset, and the bytes from the stack pointer there to that of the caller."""

    offset: int
    frame_bytes: int


def unwind_places(sym: Path, most: int = 20_000) -> list[UnwindPlace]:
    """Return places with a rule of the stack pointer, from records at even distances in the file."""
    with sym.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
        records = _RECORD.findall(text)
    places = []
    for start, size, rules, changes in records[:: max(1, len(records) // most)]:
        begin, end = int(start, 16), int(start, 16) + int(size, 16)
        found = _FRAME_SIZE.match(rules)
        steps = [(begin, rules), *((int(address, 16), rule) for address, rule in _CHANGE.findall(changes))]
        for (address, rule), following in zip(
            steps, [*(address for address, _ in steps[1:]), end], strict=True
        ):
            found = _FRAME_SIZE.match(rule) or (found if b".cfa:" not in rule else None)
            # The lookup of a caller is one byte before the return address.
            if found and begin < address and address + 1 < min(following, end):
                places.append(UnwindPlace(address, int(found[1])))
    return places


def make_dump(modules: Sequence[Module], threads: int, frames: int, seed: int = 1) -> bytes:
    """Return a dump whose threads have frames in the modules: in the first one with a chance of one half."""
    chance = random.Random(seed)
    dump = DumpWriter()
    bases = [FIRST_BASE + i * MODULE_BYTES for i in range(len(modules))]
    places = [unwind_places(module.path) for module in modules]
    usable = [i for i, found in enumerate(places) if found]
    for thread in range(threads):
        chosen = []
        for _ in range(frames):
            i = usable[0] if chance.random() < 0.5 else chance.choice(usable)
            place = chance.choice(places[i])
            chosen.append((bases[i] + place.offset, place.frame_bytes))
        stack_at = FIRST_STACK + thread * STACK_STEP
        content = b""
        for (_, size), (address, _) in zip(chosen, [*chosen[1:], (-1, 0)], strict=True):
            content += bytes(size - WORD) + (address + 1).to_bytes(WORD, "little")
        memory = dump.memory(stack_at, content + bytes(WORD))
        dump.thread(thread + 1, amd64_context(rip=chosen[0][0], rsp=stack_at), memory)
    for base, module in zip(bases, modules, strict=True):
        debug_file, debug_id = module.key
        build_id = uuid.UUID(debug_id[:32]).bytes_le.hex() + "00000000"
        dump.module(base, MODULE_BYTES, f"/usr/lib/{debug_file}", elf_record(build_id))
    dump.exception(1, 11)
    return dump.content()
