"""What a client gets: resolved jobs -> JSON, in the two versions of the API.

A frame is rendered once and kept: its fragment is the part of its JSON that depends on nothing but the
symbols and the offset. Its number and its module's name come in front (v5) or behind (v4) in each answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from tecken.symbolicate.schema import Job, Spelling
from tecken.symbols.frame import Frame, Inline
from tecken.symbols.ids import MAX_NAME


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

    def fragment(self, offset: int, frame: Frame | None) -> bytes: ...
    def answer(self, resolved: Sequence[Resolved]) -> bytes:
        """The JSON object without its closing brace."""
        ...


class V5:
    name = "v5"

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        fields: dict[str, Any] = {"module_offset": hex(offset)}
        if frame and frame.function:
            fields["function"] = frame.function
            fields["function_offset"] = hex(offset - frame.entry)
            fields |= _place(frame)
            if frame.inlines:
                fields["inlines"] = [{"function": call.function} | _place(call) for call in frame.inlines]
        return orjson.dumps(fields)[1:]

    def answer(self, resolved: Sequence[Resolved]) -> bytes:
        return b'{"results":[%b]' % b",".join(map(self._job, resolved))

    def _job(self, resolved: Resolved) -> bytes:
        modules = resolved.modules
        fragments = {index: module.fragments for index, module in modules.items()}
        labels = {
            index: orjson.dumps(module.code_file or _shown_name(resolved.job, index))
            for index, module in modules.items()
        }
        stacks = [
            b",".join(
                b'{"frame":%d,"module":%b,%b' % (number, labels[index], fragments[index][offset])
                for number, (index, offset) in enumerate(stack)
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

    def fragment(self, offset: int, frame: Frame | None) -> bytes:
        return orjson.dumps(frame.function if frame and frame.function else hex(offset))[:-1]

    def answer(self, resolved: Sequence[Resolved]) -> bytes:
        (only,) = resolved
        fragments = {index: module.fragments for index, module in only.modules.items()}
        labels = {index: orjson.dumps(f" (in {_shown_name(only.job, index)})")[1:] for index in only.modules}
        stacks = [
            b",".join(b"%b%b" % (fragments[index][offset], labels[index]) for index, offset in stack)
            for stack in only.job.stacks
        ]
        found = _found(only)
        return b'{"symbolicatedStacks":%b,"knownModules":%b,"module_errors":%b' % (
            _lists(stacks),
            orjson.dumps([found[key(module)] for module in only.job.modules]),
            orjson.dumps(_failures(only)),
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
