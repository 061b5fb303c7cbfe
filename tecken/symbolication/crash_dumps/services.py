"""Long-lived objects for minidumps, and the functions that views, jobs and commands call."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import BinaryIO, Final

from django.conf import settings
from django.utils import timezone

from tecken import waiting
from tecken.jobs import sending
from tecken.redisclient.services import cache_client, cache_guard
from tecken.runtimeconfig.current import options
from tecken.services import per_process
from tecken.storage import services as storage_services
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.child_process import ChildLimits
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.conversion.queue import CeleryConversionQueue, InlineConversionQueue
from tecken.symbolication.crash_dumps.child import LIMITS, WalkedDump, process_dump
from tecken.symbolication.crash_dumps.dump_files import DumpFiles
from tecken.symbolication.crash_dumps.processing import DumpProcessor
from tecken.symbolication.crash_dumps.submission import DumpDesk
from tecken.symbolication.crash_dumps.symbols import LoadedSymbols, ModuleNames
from tecken.symbolication.crash_dumps.tracker import DumpTracker
from tecken.symbolication.loader import ConversionQueue
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts
from tecken.symbols.ids import ObjectId

# The routes of the settings put it into the queue of conversions.
TASK: Final = "tecken.symbolicate.tasks.process_minidump"
# The client of a job of this age has probably left; the dump is removed with the old ones.
TASK_EXPIRES_SECONDS: Final = 3600
# Name under which dumps wait for cold modules, in place of a client: each job converts modules itself.
CLIENT: Final = "minidumps"
BUILD_ID: Final = re.compile("[0-9a-fA-F]{40}")


# Web processes


@per_process
def dump_desk() -> DumpDesk:
    """Return the submission of dumps, and their results."""
    # Its subscriber receives the messages of workers.
    symbolication_services.symbol_loader()
    return DumpDesk(
        dump_files(),
        dump_tracker(),
        send=lambda *arguments: sending.send(TASK, arguments, TASK_EXPIRES_SECONDS, sending.FIRST),
        signals=symbolication_services.result_signals(),
        now=timezone.now,
        keep=lambda: timedelta(seconds=options().minidump_keep_seconds),
        expires=timedelta(seconds=TASK_EXPIRES_SECONDS),
        wait=waiting.wait,
    )


@per_process
def dump_files() -> DumpFiles:
    """Return the dumps and reports in the storage of regular uploads."""
    bucket = bucket_for(settings.STORAGE_URL, storage_services.fetch_limits)
    return DumpFiles(bucket, lambda: settings.SPOOL_DIR)


@per_process
def dump_tracker() -> DumpTracker:
    """Return the states of dumps on redis-cache."""
    return DumpTracker(
        cache_client(),
        cache_guard(),
        lambda: options().minidump_client_dumps,
        # A kept dump without a state counts as one whose job is in the queue, as long as that can be so.
        lambda: max(TASK_EXPIRES_SECONDS, options().minidump_keep_seconds),
    )


# Workers and commands


@per_process
def dump_processor() -> DumpProcessor:
    """Return the processing of stored dumps, for workers."""
    return DumpProcessor(
        dump_files(),
        dump_tracker(),
        process=partial(process_dump, limits=_limits()),
        open_symbols=lambda modules: open_symbols(modules, worker_conversion()),
        note_absent=storage_services.count_absent,
        keeps_dumps=lambda: options().minidump_keep_dumps,
    )


@per_process
def worker_conversion() -> CeleryConversionQueue:
    """Return the conversion by all workers, this process included."""
    return CeleryConversionQueue(
        symbolication_services.conversion_tracker(),
        symbolication_services.send_prepares,
        lambda: options().symbolicate_client_cold_modules,
        symbolication_services.known_absent,
        symbolication_services.result_signals(),
        convert=lambda module: symbolication_services.worker_of(module).work(module),
    )


@per_process
def frames() -> FrameCache:
    """Return the rendered frames of the dumps that this process has processed."""
    return FrameCache(options().process_frame_bytes)


def process_here(file: BinaryIO, note_conversion: Callable[[ObjectId], object]) -> WalkedDump:
    """Return the report of a dump, with modules converted in this process, for commands.

    `note_conversion` is called before each. Raises the errors of `process_dump`.
    """
    conversion = InlineConversionQueue(symbolication_services.converter(), note=note_conversion)
    return process_dump(file, partial(open_symbols, conversion=conversion), _limits())


def open_symbols(modules: Sequence[ModuleNames], conversion: ConversionQueue) -> LoadedSymbols:
    """Return the symbols of a dump's modules; cold ones are converted by `conversion`."""
    # A conversion that has begun is finished, which may take most of the rest of the job's time.
    seconds = settings.CONVERT_TIME_LIMIT_SECONDS / 4
    parts = Parts(
        symbolication_services.symbol_loader(),
        conversion,
        frames(),
        seconds,
        most_cold=options().symbolicate_max_cold_modules,
        client=CLIENT,
    )
    symbolication_services.note_build_ids([it.code_id for it in modules if BUILD_ID.fullmatch(it.code_id)])
    return LoadedSymbols(parts, modules, time.monotonic() + seconds, _find_by_code_id)


def _limits() -> ChildLimits:
    """Return limits with which the child ends before the job does, so that the client gets a reason."""
    return LIMITS._replace(seconds=settings.CONVERT_TIME_LIMIT_SECONDS * 0.9)


def _find_by_code_id(code_file: str, code_id: str) -> ObjectId:
    # Models can be imported only after Django has loaded its applications.
    from tecken.storage.models import module_of  # noqa: PLC0415

    return module_of(code_file, code_id, with_try=False)
