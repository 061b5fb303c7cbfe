"""Rendering of responses: from resolved jobs to JSON, in both versions of the API (docs/api.md).

A frame is rendered once and cached as a fragment: the part of its JSON that depends only on the symbols and
the offset. Each response adds the frame's number and its module's name before (v5) or after (v4) the
fragment, so a warm request joins bytes and serializes no frame (measured by bench/throughput.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import orjson

from tecken.errors import TooLarge
from tecken.symbolication.api.schema import Job, Spelling
from tecken.symbols import engine
from tecken.symbols.ids import MAX_NAME
from tecken.symbols.lookup import Frame, Inline

Labels = Mapping[int, bytes]
"""Names of a job's modules in its frames, by index: JSON in v5, the end of a JSON string in v4."""


class Failure(NamedTuple):
    """Reason why a module has no symbols: the name of an error class, and its text."""

    name: str
    message: str


class JobModule(NamedTuple):
    """One module of a job, with the fragments of every offset that the job's stacks have in it.

    `found` is None when the module was not looked up. `code_file` is empty when it is unknown.
    """

    fragments: Mapping[int, bytes]
    found: bool | None = None
    failure: Failure | None = None
    code_file: str = ""


class Resolved(NamedTuple):
    """A job with the modules that its stacks refer to, by index. UNKNOWN_MODULE may be one of them."""

    job: Job
    modules: Mapping[int, JobModule]


class ApiVersion(Protocol):
    """One version of the API."""

    name: str
    has_places: bool
    """Whether frames have files, lines and inlined calls."""

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        """Return the cacheable part of a frame's JSON; None is a frame without symbols."""
        ...

    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> list[bytes]:
        """Return the pieces of the JSON object without its closing brace.

        Raises TooLarge if they are larger together.
        """
        ...


class V5:
    """Version 5: several jobs; frames with function, file, line and inlined calls."""

    name = "v5"
    has_places = True

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        """Return a frame's JSON from `module_offset` on, without the brace at its start."""
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

    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> list[bytes]:
        """Return the pieces of the JSON object without its closing brace.

        Raises TooLarge if they are larger together.
        """
        labels = [self._labels(entry) for entry in resolved]
        _check_stacks(resolved, labels, self._FRAME_BYTES, max_bytes)
        pieces = [b'{"results":[']
        for number, (entry, names) in enumerate(zip(resolved, labels, strict=True)):
            pieces += (b',{"stacks":[' if number else b'{"stacks":[', *self._stacks(entry, names))
            found, failures = orjson.dumps(_found_modules(entry)), orjson.dumps(_failures(entry))
            pieces += (b'],"found_modules":', found, b',"module_errors":', failures, b"}")
        pieces.append(b"]")
        return pieces

    # Bytes of a frame apart from its module and its fragment, with a frame number of five digits.
    _FRAME_BYTES = len('{"frame":10000,"module":,},')

    def _labels(self, resolved: Resolved) -> Labels:
        return {
            index: orjson.dumps(module.code_file or _module_name(resolved.job, index))
            for index, module in resolved.modules.items()
        }

    def _stacks(self, resolved: Resolved, labels: Labels) -> list[bytes]:
        fragments = {index: module.fragments for index, module in resolved.modules.items()}
        labels = {index: label + b"," for index, label in labels.items()}
        # This is the innermost loop of a warm request (bench/throughput.py). One join of all pieces takes
        # half of the time of one formatting per frame, and each further copy of the answer is a tenth.
        pieces = []
        for number, stack in enumerate(resolved.job.stacks):
            pieces.append(b",[" if number else b"[")
            if engine.MODULE:
                pieces.append(engine.MODULE.join_stack(stack, labels, fragments))
            else:
                for start, (index, offset) in zip(_frame_starts(len(stack)), stack, strict=False):
                    pieces += (start, labels[index], fragments[index][offset])
            pieces.append(b"]")
        return pieces


def _frame_starts(count: int) -> Sequence[bytes]:
    """Return how the JSON of at least `count` frames of one stack begins, in their order."""
    if count <= len(FRAME_STARTS):
        return FRAME_STARTS
    return [*FRAME_STARTS, *map(_frame_start, range(len(FRAME_STARTS), count))]


def _frame_start(number: int) -> bytes:
    return b'%b{"frame":%d,"module":' % (b"," if number else b"", number)


FRAME_STARTS = [_frame_start(number) for number in range(1000)]


class V4:
    """Version 4: one job; frames are texts of the form `function (in module)`."""

    name = "v4"
    has_places = False

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        """Return the start of a frame's JSON string, up to the name of its module."""
        return orjson.dumps(frame.function if frame and frame.function else hex(offset))[:-1]

    def answer(self, resolved: Sequence[Resolved], max_bytes: float = math.inf) -> list[bytes]:
        """Return the pieces of the JSON object without its closing brace.

        Raises TooLarge if they are larger together.
        """
        (entry,) = resolved
        fragments = {index: module.fragments for index, module in entry.modules.items()}
        labels = {
            index: orjson.dumps(f" (in {_module_name(entry.job, index)})")[1:] for index in entry.modules
        }
        _check_stacks(resolved, [labels], len(","), max_bytes)
        stacks = [
            b",".join([fragments[index][offset] + labels[index] for index, offset in stack])
            for stack in entry.job.stacks
        ]
        found = _found_modules(entry)
        known = orjson.dumps([found[key(module)] for module in entry.job.modules])
        pieces = b'{"symbolicatedStacks":', _lists(stacks), b',"knownModules":', known
        return [*pieces, b',"module_errors":', orjson.dumps(_failures(entry))]


def check_answer(size: int, max_bytes: float) -> None:
    """Raise TooLarge for a response of more than `max_bytes`."""
    if size > max_bytes:
        raise TooLarge(f"Answer too large: more than {max_bytes} bytes; ask for fewer frames at once")


def _check_stacks(
    resolved: Sequence[Resolved], labels: Sequence[Labels], frame_bytes: int, max_bytes: float
) -> None:
    """Raise TooLarge when the stacks of all jobs take more than `max_bytes`.

    Everything else in the response is in proportion to the request and needs no check.
    """
    # Nearly every response is within the limit even if each of its frames is as large as the largest one.
    # That estimate takes one step per distinct frame; the exact size takes one per frame.
    if sum(map(_upper_bound, resolved, labels, repeat(frame_bytes))) > max_bytes:
        check_answer(sum(map(_stack_bytes, resolved, labels, repeat(frame_bytes))), max_bytes)


def _upper_bound(resolved: Resolved, labels: Labels, frame_bytes: int) -> int:
    largest = max(
        (len(labels[index]) + _largest(module.fragments) for index, module in resolved.modules.items()),
        default=0,
    )
    return sum(map(len, resolved.job.stacks)) * (largest + frame_bytes)


def _largest(fragments: Mapping[int, bytes]) -> int:
    if engine.are_engine_frames(fragments):
        return fragments.largest
    return max(map(len, fragments.values()), default=0)


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
    """Return a module's key in the response: its spelling in the request, which the client knows."""
    return "/".join(module)


def _module_name(job: Job, index: int) -> str:
    """Return the module's name as the client has spelt it, cut to the longest that can be stored."""
    return job.modules[index][0][:MAX_NAME] if index >= 0 else "<unknown>"


def _place(where: Frame | Inline) -> dict[str, Any]:
    if not where.file:
        return {}
    return {"file": where.file, "line": where.line} if where.line else {"file": where.file}


def _lists(items: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(b"[%b]" % item for item in items)


def _found_modules(resolved: Resolved) -> dict[str, bool | None]:
    """Return whether each module of the job has symbols; None where it was not looked up."""
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
