"""Evaluation of STACK WIN records, which are for x86.

    STACK WIN type address size prologue epilogue parameters saved locals max_stack has_program rest

Type 4, frame data: `rest` is a program of postfix assignments to variables, such as
`$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =`. Variables with the names of registers are those of the callee,
and after the program those of the caller. Type 0, FPO: `rest` is 1 if the function saves `ebp`. The numbers
are hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.unwind.arch import CallerFrame, Read
from tecken.symbolication.minidump.unwind.postfix import MAX_WORDS, OPERATORS, parse_integer

_MASK: Final = (1 << 32) - 1
_POINTER: Final = 4
_UNDEFINED: Final = ".undef"
_RESULTS: Final = ("$eip", "$esp", "$ebp", "$ebx", "$esi", "$edi")

# Some writers leave out the space after an assignment.
_JOINED: Final = re.compile(r"(?<!\S)=(?=\S)")

Variables = dict[str, int]


class WinProgram(NamedTuple):
    """Parsed record. `words` is the program of frame data, None for FPO."""

    parameter_bytes: int
    saved_bytes: int
    local_bytes: int
    saves_frame: bool
    words: tuple[str, ...] | None

    def apply(
        self, registers: Registers, read: Read, forwarded: Registers, callee_bytes: int | None
    ) -> CallerFrame | None:
        """Return the caller of a frame with these registers, None if it cannot be computed.

        `callee_bytes` is the size of the parameters of the frame's callee, None for the first frame.
        """
        if "esp" not in registers:
            return None
        if self.words is None:
            return self._apply_fpo(registers, read, forwarded, callee_bytes)
        return self._apply_program(self.words, registers, read, forwarded, callee_bytes or 0)

    def _frame_bytes(self, callee_bytes: int) -> int:
        """Return the distance from the stack pointer to the return address."""
        return self.local_bytes + self.saved_bytes + callee_bytes & _MASK

    def _apply_fpo(
        self, registers: Registers, read: Read, forwarded: Registers, callee_bytes: int | None
    ) -> CallerFrame | None:
        stack, place = registers["esp"], registers["esp"] + self._frame_bytes(callee_bytes or 0)
        address = read(place)
        if callee_bytes is None and address == registers.get("eip"):
            # After a system call, a return address that has been used may be left on the stack.
            place += _POINTER
            address = read(place)
        if self.saves_frame:
            frame = read(stack + (callee_bytes or 0) + self.saved_bytes - 2 * _POINTER)
        else:
            frame = registers.get("ebp")
        caller_stack = place + _POINTER
        if address is None or frame is None or caller_stack > _MASK:
            return None
        known = forwarded | {"eip": address, "esp": caller_stack, "ebp": frame}
        return CallerFrame(address, caller_stack, "cfi", known)

    def _apply_program(
        self, words: Sequence[str], registers: Registers, read: Read, forwarded: Registers, callee_bytes: int
    ) -> CallerFrame | None:
        if "ebp" not in registers:
            return None
        # A program with `@` aligns the stack, so that only the frame pointer shows where the frame ends.
        if any("@" in word for word in words):
            search = registers["ebp"] + _POINTER
        else:
            search = registers["esp"] + self._frame_bytes(callee_bytes)
        if search > _MASK:
            return None
        variables = {f"${name}": registers[name] for name in ("esp", "ebp", "ebx") if name in registers}
        variables |= {
            ".cbParams": self.parameter_bytes,
            ".cbCalleeParams": callee_bytes,
            ".cbSavedRegs": self.saved_bytes,
            ".cbLocals": self.local_bytes,
            ".raSearch": search,
            ".raSearchStart": search,
        }
        if not _run(words, variables, read):
            return None
        known = forwarded | {name[1:]: variables[name] for name in _RESULTS if name in variables}
        # rust-minidump takes these two from the callee if the program has not set them. The address stays for
        # the next frame, and the stack pointer does not.
        address, stack = known.setdefault("eip", registers.get("eip", 0)), known.get("esp", registers["esp"])
        return CallerFrame(address, stack, "cfi", known)


def parse_win(line: str) -> WinProgram | None:
    """Return a STACK WIN record, None for one that cannot be used."""
    fields = line.split(None, 12)
    try:
        kind, has_program, rest = fields[2], fields[11], fields[12]
        parameters, saved, local = (int(field, 16) & _MASK for field in fields[7:10])
    except (ValueError, IndexError):
        return None
    if (kind, has_program == "1") not in {("0", False), ("4", True)}:
        return None
    if kind == "0":
        return WinProgram(parameters, saved, local, rest == "1", None)
    words = tuple(_JOINED.sub("= ", rest).split())
    return (
        WinProgram(parameters, saved, local, saves_frame=False, words=words)
        if len(words) <= MAX_WORDS
        else None
    )


def _run(words: Sequence[str], variables: Variables, read: Read) -> bool:
    """Run a program. Return whether it has come to its end."""
    stack: list[str | int] = []
    for word in words:
        try:
            if word == "=":
                value, name = stack.pop(), stack.pop()
                if not _assign(variables, name, value):
                    return False
                continue
            result = _evaluate(word, stack, variables, read)
        except IndexError:
            return False
        if result is None:
            return False
        stack.append(result)
    return True


def _evaluate(word: str, stack: list[str | int], variables: Variables, read: Read) -> str | int | None:
    """Return the value of a word, which may be a variable; None where it has none."""
    if word in OPERATORS:
        right, left = _number(stack.pop(), variables), _number(stack.pop(), variables)
        value = None if left is None or right is None else OPERATORS[word](left, right)
    elif word == "^":
        address = _number(stack.pop(), variables)
        value = None if address is None else read(address)
    elif word.startswith(("$", ".")):
        return word
    else:
        value = parse_integer(word, 32)
    return None if value is None else value & _MASK


def _assign(variables: Variables, name: str | int, value: str | int) -> bool:
    if not isinstance(name, str) or name == _UNDEFINED:
        return False
    if value == _UNDEFINED:
        variables.pop(name, None)
        return True
    number = _number(value, variables)
    if number is None:
        return False
    variables[name] = number
    return True


def _number(value: str | int, variables: Variables) -> int | None:
    return variables.get(value) if isinstance(value, str) else value
