"""What a client gets: resolved jobs -> JSON, in the two versions of the API.

A frame is rendered once and kept: its fragment is the part of its JSON that depends on nothing but the
symbols and the offset. Its number and its module's name come in front (v5) or behind (v4) in each answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import orjson

from tecken.errors import TooMuch
from tecken.symbolication.api.schema import Job, Spelling
from tecken.symbols.ids import MAX_NAME
from tecken.symbols.lookup import Frame, Inline

Labels = Mapping[int, bytes]
"""How the modules of a job are called in its frames, by index: JSON, or its end in a text."""


class Failure(NamedTuple):
    """Why a module could not be used: the name of an error class, and its text."""

    name: str
    message: str


class Module(NamedTuple):
    """One module of a job: `fragments` has every offset that the job's stacks have in it.

    `found` is None when nobody was asked. `code_file` is empty when unknown.
    """

    fragments: Mapping[int, bytes]
    found: bool | None = None
    failure: Failure | None = None
    code_file: str = ""


class Resolved(NamedTuple):
    """A job with its referenced modules by index; UNKNOWN_MODULE is one of them where a stack has it."""

    job: Job
    modules: Mapping[int, Module]


class Version(Protocol):
    """One version of the API, as the service sees it."""

    name: str
    has_places: bool
    """Whether its frames have files, lines and inlined calls."""

    def fragment(self, offset: int, frame: Frame | None) -> bytes: ...
    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> bytes:
        """Return the JSON object without its closing brace. Raises TooMuch before making a larger one."""
        ...


class V5:
    name = "v5"
    has_places = True

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        fields: dict[str, Any] = {"module_offset": hex(offset)}
        if frame and frame.function:
            fields["function"] = frame.function
            fields["function_offset"] = hex(offset - frame.entry)
            if frame.size:
                fields["function_size"] = hex(frame.size)
            fields |= _place(frame)
            if frame.inlines:
                fields["inlines"] = [{"function": call.function} | _place(call) for call in frame.inlines]
        return orjson.dumps(fields)[1:]

    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> bytes:
        labels = [self._labels(each) for each in resolved]
        _check_stacks(resolved, labels, self._FRAME_BYTES, max_bytes)
        return b'{"results":[%b]' % b",".join(map(self._job, resolved, labels))

    # Bytes of a frame apart from its module and its fragment, with a frame number of five digits.
    _FRAME_BYTES = len('{"frame":10000,"module":,},')

    def _labels(self, resolved: Resolved) -> Labels:
        return {
            index: orjson.dumps(module.code_file or _shown_name(resolved.job, index))
            for index, module in resolved.modules.items()
        }

    def _job(self, resolved: Resolved, labels: Labels) -> bytes:
        fragments = {index: module.fragments for index, module in resolved.modules.items()}
        stacks = [
            b",".join(
                [
                    b'{"frame":%d,"module":%b,%b' % (number, labels[index], fragments[index][offset])
                    for number, (index, offset) in enumerate(stack)
                ]
            )
            for stack in resolved.job.stacks
        ]
        return b'{"stacks":%b,"found_modules":%b,"module_errors":%b}' % (
            _lists(stacks),
            orjson.dumps(_found(resolved)),
            orjson.dumps(_failures(resolved)),
        )


class V4:
    name = "v4"
    has_places = False

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        return orjson.dumps(frame.function if frame and frame.function else hex(offset))[:-1]

    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> bytes:
        (only,) = resolved
        fragments = {index: module.fragments for index, module in only.modules.items()}
        labels = {index: orjson.dumps(f" (in {_shown_name(only.job, index)})")[1:] for index in only.modules}
        _check_stacks(resolved, [labels], len(","), max_bytes)
        stacks = [
            b",".join([b"%b%b" % (fragments[index][offset], labels[index]) for index, offset in stack])
            for stack in only.job.stacks
        ]
        found = _found(only)
        return b'{"symbolicatedStacks":%b,"knownModules":%b,"module_errors":%b' % (
            _lists(stacks),
            orjson.dumps([found[key(module)] for module in only.job.modules]),
            orjson.dumps(_failures(only)),
        )


def check_answer(size: int, max_bytes: float) -> None:
    """Raise TooMuch for an answer of more than `max_bytes`."""
    if size > max_bytes:
        raise TooMuch(f"Answer too large: more than {max_bytes} bytes; ask for fewer frames at once")


def _check_stacks(
    resolved: Sequence[Resolved], labels: Sequence[Labels], frame_bytes: int, max_bytes: float
) -> None:
    """Raise TooMuch when the stacks of all jobs take more than `max_bytes`.

    What else is in the answer is in proportion to the request. Nearly every answer is so small that it would
    be within the limit if each of its frames were as large as the largest, which is found faster.
    """
    if sum(map(_most_bytes, resolved, labels, repeat(frame_bytes))) > max_bytes:
        check_answer(sum(map(_stack_bytes, resolved, labels, repeat(frame_bytes))), max_bytes)


def _most_bytes(resolved: Resolved, labels: Labels, frame_bytes: int) -> int:
    largest = max(
        (
            len(labels[index]) + max(map(len, module.fragments.values()), default=0)
            for index, module in resolved.modules.items()
        ),
        default=0,
    )
    return sum(map(len, resolved.job.stacks)) * (largest + frame_bytes)


def _stack_bytes(resolved: Resolved, labels: Labels, frame_bytes: int) -> int:
    fragments = {index: module.fragments for index, module in resolved.modules.items()}
    return sum(
        [
            len(labels[index]) + len(fragments[index][offset]) + frame_bytes
            for stack in resolved.job.stacks
            for index, offset in stack
        ]
    )


def key(module: Spelling) -> str:
    """A module's key in the answer: spelt as the client did, who looks it up by that."""
    return "/".join(module)


def _shown_name(job: Job, index: int) -> str:
    return job.modules[index][0][:MAX_NAME] if index >= 0 else "<unknown>"


def _place(where: Frame | Inline) -> dict[str, Any]:
    if not where.file:
        return {}
    return {"file": where.file, "line": where.line} if where.line else {"file": where.file}


def _lists(items: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(b"[%b]" % item for item in items)


def _found(resolved: Resolved) -> dict[str, bool | None]:
    found: dict[str, bool | None] = dict.fromkeys(map(key, resolved.job.modules))
    for index, module in resolved.modules.items():
        if index >= 0:
            found[key(resolved.job.modules[index])] = module.found
    return found


def _failures(resolved: Resolved) -> dict[str, list[dict[str, str]]]:
    return {
        key(resolved.job.modules[index]): [module.failure._asdict()]
        for index, module in resolved.modules.items()
        if module.failure
    }
