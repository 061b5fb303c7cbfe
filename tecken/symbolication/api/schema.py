"""Validation of requests: from JSON to jobs. Every error text is part of the wire contract (docs/api.md)."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from tecken.errors import BadModule, InvalidInput, TooLarge
from tecken.symbols.ids import ObjectId, is_zero_debug_id

Spelling = tuple[str, str]
"""A module as the client has written it: debug file and debug id. Either may be empty or invalid."""

# At most 32 bits, as in samply.
_OFFSET: Final = re.compile(r"0x[0-9A-Fa-f]{1,8}")

UNKNOWN_MODULE = -1
"""The module index of an address outside every module."""


class Job(NamedTuple):
    """One set of stacks with the modules that they refer to.

    `stacks[i][j]` is [module index, module offset]. The index is that of a module in `modules`, or
    UNKNOWN_MODULE.
    """

    modules: list[Spelling]
    stacks: list[list[list[int]]]


class RequestLimits(NamedTuple):
    """Largest number of jobs, and of frames in all of them together, in one request."""

    jobs: int
    frames: int


def v5_jobs(body: bytes, limits: RequestLimits) -> list[Job]:
    """Return the jobs of `{"jobs": [J, ...]}` or of a single J. Raises InvalidInput, TooLarge."""
    payload = _parse(body)
    jobs = [payload] if "stacks" in payload and "memoryMap" in payload else _get(payload, "jobs")
    if not jobs:
        raise InvalidInput("Jobs list empty")
    if type(jobs) is not list:
        raise InvalidInput("Wrong type of value ('jobs' not a list)")
    if len(jobs) > limits.jobs:
        raise TooLarge(f"Too many jobs: {len(jobs)}, at most {limits.jobs} in one request")
    for number, job in enumerate(jobs, 1):
        _check_job(number, job)
    return _jobs(jobs, limits)


def v4_job(body: bytes, limits: RequestLimits) -> Job:
    """Return the job of `{"stacks": ..., "memoryMap": ..., "version": 4}`. Raises InvalidInput, TooLarge."""
    payload = _parse(body)
    for key in ("stacks", "memoryMap"):
        if type(_get(payload, key)) is not list:
            raise InvalidInput("Must be a list")
    if payload.get("version") != 4:
        raise InvalidInput("Expect version==4")
    return _jobs([payload], limits)[0]


class SourceQuery(NamedTuple):
    """Source file that a frame refers to. `file` is spelt as in the frame."""

    module: ObjectId
    offset: int
    file: str


def source_query(body: bytes) -> SourceQuery:
    """Return the query of `{"debugName", "debugId", "moduleOffset", "file"}`. Raises InvalidInput."""
    payload = _parse(body)
    texts = [_get(payload, key) for key in ("debugName", "debugId", "moduleOffset", "file")]
    if not all(type(text) is str for text in texts):
        raise InvalidInput("debugName, debugId, moduleOffset and file must be strings")
    name, debug_id, offset, file = texts
    if not _OFFSET.fullmatch(offset):
        raise InvalidInput("moduleOffset must be hex digits that follow 0x")
    return SourceQuery(ObjectId.parse(name, debug_id), int(offset, 16), file)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidInput("Invalid JSON passed in") from None
    if type(payload) is not dict:
        raise InvalidInput("Not a dict")
    return payload


def _get(payload: dict[str, Any], key: str) -> Any:
    if key not in payload:
        raise InvalidInput(f"Missing key in JSON ('{key}')")
    return payload[key]


def _check_job(number: int, job: Any) -> None:
    if type(job) is not dict:
        raise InvalidInput(f"Wrong type of value (Job number {number} is not a dict)")
    for key in ("memoryMap", "stacks"):
        if type(_get(job, key)) is not list:
            raise InvalidInput(f"Wrong type of value (Stack number {number} is '{key}' not a list)")


def _jobs(raw: list[dict[str, Any]], limits: RequestLimits) -> list[Job]:
    jobs = []
    frames = 0
    for job in raw:
        frames += _check_stacks(job["stacks"], len(job["memoryMap"]))
        jobs.append(Job([_spelling(module) for module in job["memoryMap"]], job["stacks"]))
    if frames > limits.frames:
        raise TooLarge(f"Too many frames: {frames}, at most {limits.frames} in one request")
    return jobs


def _check_stacks(stacks: list[Any], modules: int) -> int:
    """Return the number of frames. Raises InvalidInput."""
    frames = 0
    # `type() is` and not isinstance(), which would accept a JSON boolean as a number. This loop runs for each
    # frame of every request (bench/throughput.py).
    for stack in stacks:
        if type(stack) is not list:
            raise InvalidInput("Must be a list of lists")
        frames += len(stack)
        for frame in stack:
            if type(frame) is not list:
                raise InvalidInput("Must be a list of lists of lists")
            if len(frame) != 2:
                raise InvalidInput("List of lists of frames must be 2 numbers")
            index, offset = frame
            if type(index) is not int or type(offset) is not int:
                raise InvalidInput("Frame must be two integers")
            if not UNKNOWN_MODULE <= index < modules:
                raise InvalidInput("module index out of range")
    return frames


def _spelling(module: Any) -> Spelling:
    """Return a module; a part that is not a string counts as empty, so that the other modules do not fail."""
    if type(module) is not list or len(module) != 2:
        raise InvalidInput("Must be a list of lists of size 2")
    name, debug_id = module
    return name if type(name) is str else "", debug_id if type(debug_id) is str else ""


def parse_key(module: Spelling) -> ObjectId | BadModule | None:
    """Return the key of a module, the error of a malformed one, or None where there is nothing to look up."""
    if "" in module:
        return None
    try:
        key = ObjectId.parse(*module)
    except BadModule as error:
        return error
    if is_zero_debug_id(key.debug_id):
        return BadModule("a debug id of zeros is shared by many builds and never looked up")
    return key
