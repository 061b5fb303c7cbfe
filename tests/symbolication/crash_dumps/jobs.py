"""A worker in a thread of the test's process, for requests that wait for their dumps, and a dump."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, cast

import orjson

from tecken.jobs.keys import CONVERT, waiting
from tecken.redisclient.services import queue_client
from tecken.symbolication.crash_dumps.services import TASK
from tecken.symbolication.tasks import process_minidump
from tecken.symbols.ids import ObjectId
from tests.support.core_files import CoreWriter
from tests.support.minidumps import LINUX, STACK, Module, elf_record, minidump

CRASH_C = ObjectId("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
BASE = 0x40_0000
BUILD_ID = "6cb9dbdaed91f95812fb09f7f2655e6f00000000"
SECRET = b"my password is swordfish"


def crash_dump() -> bytes:
    """Return a dump of the sample module, whose stack has a secret."""
    record = elf_record(BUILD_ID)
    module = Module("/opt/bin/crash-c", BASE, 0x10000, record)
    stack = [int.from_bytes(SECRET[start : start + 8], "little") for start in range(0, len(SECRET), 8)]
    return minidump(LINUX, [module], BASE + 0x1205, stack)


def core_file() -> bytes:
    """Return a core file of the sample module."""
    core = CoreWriter()
    core.thread(4711, rip=BASE + 0x1205, rsp=STACK)
    core.process(4711)
    core.signal(11, 1, 0x18)
    core.module(BASE, BASE + 0x10000, "/opt/bin/crash-c", bytes.fromhex(BUILD_ID), address=BASE)
    core.memory(STACK, bytes(64))
    return core.content()


def sent_jobs() -> list[str]:
    """Return the ids of the dumps whose jobs are in the queue, and remove them."""
    return [dump_id for dump_id, _caller in _take_jobs()]


def run_jobs() -> None:
    for arguments in _take_jobs():
        process_minidump(*arguments)


def _take_jobs() -> Iterator[tuple[str, Sequence[Any]]]:
    while message := cast("bytes | None", queue_client().rpop(waiting(CONVERT, 0))):
        yield _read_arguments(message)


@contextmanager
def working() -> Iterator[None]:
    """Run the jobs of dumps until the end of the block."""
    is_over = Event()

    def work() -> None:
        while not is_over.is_set():
            message = queue_client().brpop([waiting(CONVERT, 0)], timeout=0.1)
            if message:
                process_minidump(*_read_arguments(cast(bytes, message[1])))

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(60)


def _read_arguments(message: bytes) -> tuple[str, Sequence[Any]]:
    envelope = orjson.loads(message)
    assert envelope["headers"]["task"] == TASK
    arguments, *_ = orjson.loads(base64.b64decode(envelope["body"]))
    dump_id, caller = arguments
    return dump_id, caller
