"""Evaluation of STACK CFI records.

    STACK CFI INIT address size .cfa: $rsp 8 + .ra: .cfa -8 + ^
    STACK CFI address .cfa: $rsp 16 + $rbx: .cfa -16 + ^

Each rule is the name of a register of the caller with a colon, and a postfix expression of registers of the
callee. `.cfa` is the stack pointer of the caller, `.ra` the return address, and `^` reads the stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.unwind.arch import Architecture, CallerFrame, Read
from tecken.symbolication.minidump.unwind.postfix import MAX_WORDS, OPERATORS, parse_integer

_MASK: Final = (1 << 64) - 1
_CFA: Final = ".cfa"
_RETURN: Final = ".ra"

# Texts of rules that are remembered in their parsed form: the same few thousand are in all functions.
_MEMORY: Final = 4096


class Expression(NamedTuple):
    """Parsed expression: a register or `.cfa`, plus a number, and whether the stack is read there.

    Other forms have all their words, with numbers parsed.
    """

    base: str
    offset: int
    is_read: bool
    words: tuple[str | int, ...] = ()

    def evaluate(self, registers: Registers, read: Read, cfa: int | None) -> int | None:
        """Return the value, None for one that is not known."""
        if self.words:
            return _evaluate(self.words, registers, read, cfa)
        value = cfa if self.base == _CFA else registers.get(self.base)
        if value is None:
            return None
        value = value + self.offset & _MASK
        return read(value) if self.is_read else value


class CfiRules(NamedTuple):
    """Rules of a place. `start` is the module offset of the INIT record.

    `registers` has the name in the rule, the register of that name, and its expression.
    """

    arch: Architecture
    start: int
    cfa: Expression
    return_address: Expression
    registers: tuple[tuple[str, str, Expression], ...]

    def apply(self, registers: Registers, read: Read, forwarded: Registers) -> CallerFrame | None:
        """Return the caller of a frame with these registers, None if its place or stack cannot be computed.

        `forwarded` are registers of the callee that the caller has, too, unless a rule changes them.
        """
        largest = self.arch.largest
        cfa = self.cfa.evaluate(registers, read, None)
        if cfa is None or cfa > largest:
            return None
        address = self.return_address.evaluate(registers, read, cfa)
        if address is None or address > largest:
            return None
        known = forwarded | {self.arch.stack: cfa, self.arch.instruction: address}
        for name, register, expression in self.registers:
            value = expression.evaluate(registers, read, cfa)
            if value is None:
                # rust-minidump does not clear a register under its alias, as `x29` for `fp`.
                known.pop(name, None)
            elif value <= largest:
                known[register] = value
        get = known.get
        return CallerFrame(get(self.arch.instruction, address), get(self.arch.stack, cfa), "cfi", known)


def _evaluate(words: Sequence[str | int], registers: Registers, read: Read, cfa: int | None) -> int | None:
    stack: list[int] = []
    for word in words:
        value: int | None
        try:
            if isinstance(word, int):
                value = word
            elif word in OPERATORS:
                right, left = stack.pop(), stack.pop()
                value = OPERATORS[word](left, right)
            elif word == "^":
                value = read(stack.pop())
            else:
                value = cfa if word == _CFA else registers.get(word)
        except IndexError:
            return None
        if value is None:
            return None
        stack.append(value & _MASK)
    return stack[0] if len(stack) == 1 else None


class CfiParser:
    """Parser of the STACK CFI records of one dump."""

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch
        self._parsed: dict[str, Mapping[str, Expression] | None] = {}

    def parse(self, lines: Sequence[str]) -> CfiRules | None:
        """Return the rules of an INIT record and the changes after it; None for malformed records."""
        if not lines:
            return None
        init = lines[0].split(None, 5)
        texts = [init[-1], *[line.split(None, 3)[-1] for line in lines[1:]]]
        rules: dict[str, Expression] = {}
        for text in texts:
            parsed = self._parse(text)
            if parsed is None:
                return None
            rules.update(parsed)
        cfa, return_address = rules.pop(_CFA, None), rules.pop(_RETURN, None)
        named = ((name, self._arch.register(name), rule) for name, rule in rules.items())
        registers = tuple([(name, register, rule) for name, register, rule in named if register])
        words = sum(len(rule.words) for _, _, rule in registers)
        if cfa is None or return_address is None or words > MAX_WORDS:
            return None
        return CfiRules(self._arch, int(init[3], 16), cfa, return_address, registers)

    def _parse(self, text: str) -> Mapping[str, Expression] | None:
        if text not in self._parsed:
            if len(self._parsed) >= _MEMORY:
                self._parsed.clear()
            self._parsed[text] = self._parse_rules(text.split())
        return self._parsed[text]

    def _parse_rules(self, words: Sequence[str]) -> Mapping[str, Expression] | None:
        """Return the expressions by register; None if one is empty, or if there are too many words."""
        rules: dict[str, list[str]] = {}
        expression = None
        for word in words[: MAX_WORDS + 1]:
            if word.endswith(":"):
                if expression == []:
                    return None
                expression = rules[word[:-1].removeprefix("$")] = []
            elif expression is None:
                return None
            else:
                expression.append(word)
        if not expression or len(words) > MAX_WORDS:
            return None
        return {register: self._parse_expression(words) for register, words in rules.items()}

    def _parse_expression(self, words: Sequence[str]) -> Expression:
        parsed = tuple(self._parse_word(word) for word in words)
        match parsed:
            case (str(base),):
                return Expression(base, 0, is_read=False)
            case (str(base), int(offset), "+"):
                return Expression(base, offset, is_read=False)
            case (str(base), int(offset), "+", "^"):
                return Expression(base, offset, is_read=True)
        return Expression("", 0, is_read=False, words=parsed)

    def _parse_word(self, word: str) -> str | int:
        if word in OPERATORS or word in {"^", _CFA}:
            return word
        _, dollar, register = word.partition("$")
        number = None if dollar else parse_integer(word, 64)
        if number is not None:
            return number
        # An unknown register, and `.undef`, has no value, so it ends the evaluation.
        return self._arch.aliases.get(register or word, register or word)
