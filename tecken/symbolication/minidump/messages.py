"""Messages between the process that walks a dump and its parent: JSON, after its length in four bytes.

The child sends arrays `[question, argument]` and gets one answer for each, in turn. Its last message is the
report, an object, which gets no answer. Places are flat arrays: module, offset, module, offset ...

    modules         [[debug file, debug id, code file, code id], ...]  -> null
    prepare         [module, ...]                                      -> null
    unwind_info     places                           -> [null or [win, cfi, parameters], ...]
    are_functions   places                                             -> [null or bool, ...]
    frames          places                                             -> [null or the JSON of a frame, ...]
    states          null                                               -> [[state, reason], ...]
    walked          [threads, frames]                                  -> null
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any, BinaryIO, Final

import orjson

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump import DumpModule
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.stack import Stack
from tecken.symbols.frame import Frame, frame_from_json

LENGTH_BYTES: Final = 4
# The report of 1,024 threads with 1,024 frames each may be longer; it is refused then.
MAX_MESSAGE_BYTES: Final = 64 << 20
# Places of one question.
MAX_PLACES: Final = 32_768


def write_message(out: IO[bytes], content: bytes) -> None:
    """Write a message. Raises Malformed for one that is too long."""
    if len(content) > MAX_MESSAGE_BYTES:
        raise Malformed(f"the report is longer than {MAX_MESSAGE_BYTES} bytes")
    out.write(len(content).to_bytes(LENGTH_BYTES, "little") + content)
    out.flush()


def read_message(source: IO[bytes]) -> bytes:
    """Return the next message; empty at the end, and for one that is too long."""
    length = int.from_bytes(source.read(LENGTH_BYTES), "little")
    if length > MAX_MESSAGE_BYTES:
        return b""
    content = source.read(length)
    return content if len(content) == length else b""


class ParentSymbols:
    """Access to the symbols that the parent process has; see `SymbolAccess` for the methods."""

    def __init__(self, questions: BinaryIO, answers: BinaryIO, modules: Sequence[DumpModule]) -> None:
        self._questions = questions
        self._answers = answers
        self._ask("modules", [[it.debug_file, it.debug_id, it.code_file, it.code_id] for it in modules])

    def prepare(self, modules: Sequence[int]) -> None:
        """Load modules, all at the same time."""
        self._ask("prepare", list(modules))

    def unwind_info(self, places: Sequence[ModulePlace]) -> list[UnwindInfo | None]:
        """Return the unwind information of each place."""
        return list(map(_unwind_info, self._look_up("unwind_info", places)))

    def are_functions(self, places: Sequence[ModulePlace]) -> list[bool | None]:
        """Return whether each place is in a function."""
        return self._look_up("are_functions", places)

    def frames(self, places: Sequence[ModulePlace]) -> list[Frame | None]:
        """Return the frame of each place."""
        return list(map(frame_from_json, self._look_up("frames", places)))

    def states(self) -> list[ModuleState]:
        """Return the state of each module."""
        return [ModuleState(*fields) for fields in self._ask("states", None)]

    def send_report(self, report: bytes, stacks: Sequence[Stack]) -> None:
        """Send the report, which ends the exchange. Raises Malformed if it is too long."""
        self._ask("walked", [len(stacks), sum(len(stack.frames) for stack in stacks)])
        write_message(self._questions, report)

    def _look_up(self, question: str, places: Sequence[ModulePlace]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(places), MAX_PLACES):
            batch = places[start : start + MAX_PLACES]
            answers += self._ask(question, [number for place in batch for number in place])
        return answers

    def _ask(self, question: str, argument: object) -> Any:
        write_message(self._questions, orjson.dumps([question, argument]))
        answer = read_message(self._answers)
        if not answer:
            # The parent has ended, or has closed the pipe: nothing reads what this process would write.
            raise SystemExit(1)
        return orjson.loads(answer)


def _unwind_info(fields: Sequence[Any] | None) -> UnwindInfo | None:
    if fields is None:
        return None
    win, cfi, parameter_bytes = fields
    return UnwindInfo(win, tuple(cfi), parameter_bytes)
