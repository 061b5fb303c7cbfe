"""Counting of the steps that a backtracking engine takes for a regular expression.

`Matcher` tries a pattern as `re` does, from the same parse tree and in the same order, and counts each
character that it compares. The count is the same on every machine and under every load, which a time is not.
It is an upper bound: `re` skips starts that cannot match.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from re import _constants as op
from re import _parser as parser
from typing import Any, Literal

Node = tuple[Any, Any]
KINDS = 12  # of characters; more would only be further letters of words
SINGLE = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


Way = Literal["match", "fullmatch", "search"]


class TooManySteps(Exception):
    """The budget of a count is used up."""


class Matcher:
    """Matcher of one pattern. Patterns of bytes match text whose characters stand for bytes."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self.pattern = pattern
        self.tree = parser.parse(pattern.pattern, pattern.flags)
        self._nodes = list(self.tree)
        self._start = _start(self._nodes)
        self._flags = pattern.flags & (re.ASCII | re.IGNORECASE)
        if isinstance(pattern.pattern, bytes):
            self._flags |= re.ASCII
        self._accepted: dict[int, dict[str, bool]] = defaultdict(dict)
        self._text = ""
        self._steps = self._budget = 0

    def count(self, text: str, budget: int, way: Way) -> tuple[int, list[tuple[int, int]]]:
        """Return the steps and the spans that match. Raises TooManySteps.

        `search` looks at every place of the text, `match` and `fullmatch` at its start only.
        """
        self._text, self._steps, self._budget = text, 0, budget
        if way != "search":
            ends = self._sequence(self._nodes, 0, 0)
            end = next((end for end in ends if way == "match" or end == len(text)), None)
            return self._steps, [] if end is None else [(0, end)]
        spans, at = [], 0
        while at <= len(text):
            self._step()
            if self._start and not self._is_start(self._start, at):
                self._step()
                at += 1
                continue
            end = next(self._sequence(self._nodes, 0, at), None)
            if end is not None and end > at:
                spans.append((at, end))
                at = end
            else:
                at += 1
        return self._steps, spans

    def accepts(self, node: Node, character: str) -> bool:
        """Return whether a node for one character takes this one."""
        known = self._accepted[id(node)]
        if character not in known:
            known[character] = self._takes(node[0], node[1], character)
        return known[character]

    def _is_start(self, node: Node, at: int) -> bool:
        if node[0] is op.AT:
            return self._is_at(node[1], at)
        return at < len(self._text) and self.accepts(node, self._text[at])

    def _step(self) -> None:
        self._steps += 1
        if self._steps > self._budget:
            raise TooManySteps

    def _sequence(self, nodes: list[Node], index: int, at: int) -> Iterator[int]:
        if index == len(nodes):
            yield at
            return
        for end in self._node(nodes[index], at):
            yield from self._sequence(nodes, index + 1, end)

    def _node(self, node: Node, at: int) -> Iterator[int]:
        kind, value = node
        if kind in SINGLE:
            self._step()
            if at < len(self._text) and self.accepts(node, self._text[at]):
                yield at + 1
        elif kind in REPEATS:
            yield from self._repeat(kind, value, at)
        elif kind is op.SUBPATTERN:
            yield from self._sequence(list(value[3]), 0, at)
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield from self._sequence(list(branch), 0, at)
        elif kind is op.ATOMIC_GROUP:
            yield from _first(self._sequence(list(value), 0, at))
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            yield from self._look(kind is op.ASSERT, value, at)
        elif kind is op.AT:
            self._step()
            if self._is_at(value, at):
                yield at
        else:
            raise NotImplementedError(f"{kind} in {self.pattern.pattern!r}")

    def _repeat(self, kind: Any, value: Any, at: int) -> Iterator[int]:
        least, most, body = value
        if len(body) == 1 and body[0][0] in SINGLE:
            ends = self._run(kind is op.MIN_REPEAT, least, most, body[0], at)
        else:
            ends = self._again(kind is op.MIN_REPEAT, least, most, list(body), at, 0)
        yield from _first(ends) if kind is op.POSSESSIVE_REPEAT else ends

    def _run(self, lazy: bool, least: int, most: Any, node: Node, at: int) -> Iterator[int]:
        """Repeat one character; `re` compares each once and then gives them back one by one."""
        end, text = at, self._text
        if lazy:
            while end - at <= most:
                if end - at >= least:
                    yield end
                self._step()
                if end == len(text) or not self.accepts(node, text[end]):
                    return
                end += 1
            return
        while end - at < most and end < len(text) and self.accepts(node, text[end]):
            self._step()
            end += 1
        self._step()
        for back in range(end, at + least - 1, -1):
            yield back
            self._step()

    def _again(
        self, lazy: bool, least: int, most: Any, body: list[Node], at: int, done: int
    ) -> Iterator[int]:
        if lazy and done >= least:
            yield at
        if done < most:
            for end in self._sequence(body, 0, at):
                if end > at or done < least:
                    yield from self._again(lazy, least, most, body, end, done + 1)
        if not lazy and done >= least:
            yield at

    def _look(self, wanted: bool, value: Any, at: int) -> Iterator[int]:
        direction, body = value
        start = at if direction > 0 else at - body.getwidth()[0]
        found = start >= 0 and any(direction > 0 or end == at for end in self._sequence(list(body), 0, start))
        if found is wanted:
            yield at

    def _is_at(self, place: Any, at: int) -> bool:
        text, lines = self._text, self.pattern.flags & re.MULTILINE
        if place in (op.AT_BOUNDARY, op.AT_NON_BOUNDARY):
            words = [self._is_word(character) for character in (text[max(at - 1, 0) : at], text[at : at + 1])]
            return (words[0] != words[1]) is (place is op.AT_BOUNDARY)
        if place in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return at == 0 or bool(lines and place is op.AT_BEGINNING and text[at - 1] == "\n")
        if place is op.AT_END and (text[at:] == "\n" or (lines and text[at : at + 1] == "\n")):
            return True
        return at == len(text)

    def _is_word(self, character: str) -> bool:
        return character == "_" or character.isalnum()

    def _takes(self, kind: Any, value: Any, character: str) -> bool:
        if kind is op.ANY:
            return character != "\n" or bool(self.pattern.flags & re.DOTALL)
        if kind in (op.LITERAL, op.NOT_LITERAL):
            return self._same(value, character) is (kind is op.LITERAL)
        negated = value[0][0] is op.NEGATE
        return any(self._in(item[0], item[1], character) for item in value[negated:]) is not negated

    def _in(self, kind: Any, value: Any, character: str) -> bool:
        if kind is op.RANGE:
            cases = (
                (character, character.lower(), character.upper())
                if self._flags & re.IGNORECASE
                else (character,)
            )
            return any(len(case) == 1 and value[0] <= ord(case) <= value[1] for case in cases)
        if kind is op.CATEGORY:
            return re.match(CATEGORIES[value], character, self._flags) is not None
        return self._same(value, character)

    def _same(self, code: int, character: str) -> bool:
        if self._flags & re.IGNORECASE:
            return chr(code).lower() == character.lower()
        return code == ord(character)


def _start(nodes: list[Node]) -> Node | None:
    """Return the place or character that every match begins with; None when there are several.

    A search tries it at each character of a text. Where it fails, it takes one step.
    """
    if not nodes:
        return None
    kind, value = node = nodes[0]
    if kind is op.SUBPATTERN:
        return _start(list(value[3]))
    if kind in REPEATS and value[0] and len(value[2]) == 1:
        node = next(iter(value[2]))
        return node if node[0] in SINGLE else None
    return node if kind in (*SINGLE, op.AT) else None


def _first(ends: Iterator[int]) -> Iterator[int]:
    end = next(ends, None)
    if end is not None:
        yield end


Sampler = Callable[[list[Node]], str]


def worst_texts(matcher: Matcher, length: int) -> Iterator[str]:
    """Yield texts that make a pattern backtrack: what it wants, one part of it very often, and a bad end.

    The parts are the characters that the pattern tells apart, pairs of them, and what matches a run of the
    pattern's own parts from a repetition on.
    """
    characters = _told_apart(matcher)
    pairs = [a + b for a in characters for b in characters if a != b]

    def sample(nodes: list[Node]) -> str:
        return "".join(_sample(matcher, node, characters, sample) for node in nodes)

    seen: dict[tuple[str, str], None] = {}
    starts = [sample(list(matcher.tree)[:end]) for end in range(1, len(matcher.tree) + 1)]
    seen |= dict.fromkeys(("", pump) for pump in (*characters, *pairs, *starts))
    for prefix, pumps in _pumped(list(matcher.tree), "", sample):
        seen |= dict.fromkeys((prefix, pump) for pump in (*characters, *pumps))
    for prefix, pump in seen:
        for end in ("", "\0", "\n\0"):
            yield prefix + pump * (length // max(len(pump), 1)) + end


def _pumped(nodes: list[Node], before: str, sample: Sampler) -> Iterator[tuple[str, list[str]]]:
    """Yield each repetition: a text that leads to it, and texts that match what comes from there on."""
    ends = [at for at in range(1, len(nodes)) if not nodes[at - 1][0] is nodes[at][0] is op.LITERAL]
    for index, node in enumerate(nodes):
        if not any(kind in REPEATS for kind, _value in _all([node])):
            continue
        prefix = before + sample(nodes[:index])
        yield prefix, [sample(nodes[index:end]) for end in (*ends, len(nodes)) if end > index]
        for inner in _inner(node):
            yield from _pumped(inner, prefix, sample)


def _sample(matcher: Matcher, node: Node, characters: list[str], sample: Sampler) -> str:
    kind, value = node
    if kind is op.LITERAL:
        return chr(value)
    if kind in SINGLE:
        return next((character for character in characters if matcher.accepts(node, character)), "")
    if kind is op.ASSERT_NOT or (kind is op.ASSERT and value[0] > 0):
        return ""
    return "".join(map(sample, _inner(node)[:1])) * (max(value[0], 1) if kind in REPEATS else 1)


def _inner(node: Node) -> list[list[Node]]:
    """Return the sequences inside of a node; a branch has several."""
    kind, value = node
    if kind in REPEATS:
        return [list(value[2])]
    if kind is op.SUBPATTERN:
        return [list(value[3])]
    if kind is op.ATOMIC_GROUP:
        return [list(value)]
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [list(value[1])]
    return [list(branch) for branch in value[1]] if kind is op.BRANCH else []


def _all(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for inner in _inner(node):
            yield from _all(inner)


def _told_apart(matcher: Matcher) -> list[str]:
    """Return one character of each kind that the pattern treats alike, at most KINDS."""
    leaves = [node for node in _all(list(matcher.tree)) if node[0] in SINGLE]
    sets = [item for kind, value in leaves if kind is op.IN for item in value]
    bounds = [code for kind, value in sets if kind is op.RANGE for code in value]
    spelt = [value for kind, value in (*sets, *leaves) if kind is op.LITERAL]
    kinds: dict[tuple[bool, ...], str] = {}
    for character in [*"a1 \n\t,:/=-@é", *map(chr, bounds), *map(chr, spelt)]:
        at_words = (re.match(r"\w", character) is not None, character == "\n")  # for \b, ^ and $
        kinds.setdefault((*at_words, *(matcher.accepts(leaf, character) for leaf in leaves)), character)
    return list(kinds.values())[:KINDS]
