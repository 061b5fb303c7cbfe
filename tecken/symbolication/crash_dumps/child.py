"""Child process that walks one dump, and the answers to its questions.

The child reads what strangers send, so its questions are checked as those of a stranger.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from tecken.errors import Malformed
from tecken.storage.child_process import ChildLimits, ChildProcess, run_child
from tecken.symbolication.crash_dumps.symbols import ModuleNames
from tecken.symbolication.minidump.messages import MAX_PLACES, read_message, write_message
from tecken.symbolication.minidump.port import ModulePlace, SymbolAccess
from tecken.symbols.frame import frame_to_json

logger = logging.getLogger(__name__)
PROGRAM: Final = "tecken.symbolication.minidump"
# Exit status of the program for a dump that it refuses, with the reason as the last line on stderr.
REFUSED: Final = 2
# The dump is mapped, so its 256 MiB at most count, and so do the parsed dump and the report.
LIMITS: Final = ChildLimits(memory_bytes=1 << 30, cpu_seconds=60, seconds=300.0)
MAX_MODULES: Final = 4096
MAX_NAME: Final = 1 << 16
MAX_NUMBER: Final = 1 << 32
OFFSET_END: Final = 1 << 64
SENT: Final = "the process that reads the dump sent"


class WalkedDump(NamedTuple):
    """Report of a dump as JSON, and the numbers of its threads and their frames."""

    report: bytes
    threads: int
    frames: int


OpenSymbols = Callable[[Sequence[ModuleNames]], SymbolAccess]


def process_dump(
    file: BinaryIO,
    open_symbols: OpenSymbols,
    limits: ChildLimits = LIMITS,
    program: Sequence[str] = ("-m", PROGRAM),
) -> WalkedDump:
    """Return the report of the dump in an open file.

    `open_symbols` is called once, with the modules of the dump. Raises Malformed for a file that is no dump,
    and for one that takes more than the limits; Unavailable if the process cannot be started.
    """
    command = [sys.executable, "-P", *program, str(file.fileno())]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    with run_child(command, limits, environment=environment, files=[file], has_input=True) as child:
        assert child.input
        answers = _Answers(open_symbols)
        while message := read_message(child.output):
            if message.startswith(b"{"):
                return WalkedDump(message, *answers.walked)
            with suppress(BrokenPipeError):
                write_message(child.input, orjson.dumps(answers.give(*_parse(message))))
        raise Malformed(_describe_end(child))


class _Answers:
    """Answers to the questions of one child process."""

    def __init__(self, open_symbols: OpenSymbols) -> None:
        self._open_symbols = open_symbols
        self._symbols: SymbolAccess | None = None
        self._modules = 0
        self.walked = (0, 0)

    def give(self, question: str, argument: Any) -> Any:
        """Return the answer as values of JSON. Raises Malformed for an unexpected question."""
        if question == "modules" and self._symbols is None:
            self._symbols = self._open_symbols(_read_modules(argument))
            self._modules = len(argument)
            return None
        if self._symbols is None:
            raise Malformed(f"{SENT} an unexpected question")
        if question == "walked":
            if not _are_integers(argument, MAX_NUMBER) or len(argument) != 2:
                raise Malformed(f"{SENT} numbers that cannot be read")
            self.walked = tuple(argument)
            return None
        return self._look_up(self._symbols, question, argument)

    def _look_up(self, symbols: SymbolAccess, question: str, argument: Any) -> Any:
        if question == "prepare":
            symbols.prepare(self._check_modules(argument))
            return None
        if question == "states":
            return [[*state] for state in symbols.states()]
        places = self._read_places(argument)
        if question == "unwind_info":
            return [
                info and [info.win, info.cfi, info.parameter_bytes] for info in symbols.unwind_info(places)
            ]
        if question == "are_functions":
            return symbols.are_functions(places)
        if question == "frames":
            return list(map(frame_to_json, symbols.frames(places)))
        raise Malformed(f"{SENT} an unknown question")

    def _check_modules(self, numbers: Any) -> list[int]:
        if not _are_integers(numbers, self._modules):
            raise Malformed(f"{SENT} an unknown module")
        return list(numbers)

    def _read_places(self, numbers: Any) -> list[ModulePlace]:
        if not _are_integers(numbers, OFFSET_END) or len(numbers) > 2 * MAX_PLACES or len(numbers) % 2:
            raise Malformed(f"{SENT} places that cannot be read")
        self._check_modules(numbers[::2])
        return list(map(ModulePlace, numbers[::2], numbers[1::2]))


def _are_integers(numbers: Any, end: int) -> bool:
    return isinstance(numbers, list) and all(type(it) is int and 0 <= it < end for it in numbers)


def _parse(message: bytes) -> tuple[str, Any]:
    try:
        question, argument = orjson.loads(message)
    except ValueError:
        raise Malformed(f"{SENT} no JSON") from None
    return str(question), argument


def _read_modules(rows: Any) -> list[ModuleNames]:
    try:
        modules = [ModuleNames(*row) for row in rows]
    except TypeError:
        raise Malformed(f"{SENT} modules that cannot be read") from None
    names = [name for module in modules for name in module]
    if len(modules) > MAX_MODULES or not all(isinstance(it, str) and len(it) <= MAX_NAME for it in names):
        raise Malformed(f"{SENT} too many modules, or too long ones")
    return modules


def _describe_end(child: ChildProcess) -> str:
    """Return the reason why a process has ended without a report, for the client."""
    status = child.wait()
    if status == REFUSED:
        return child.last_message() or "the file is no dump that can be read"
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        return "the dump takes more time than it may have"
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    logger.warning("A process that reads a minidump ended with %s: %s", ended, child.last_message())
    return f"the dump cannot be processed: its process ended with {ended}"
