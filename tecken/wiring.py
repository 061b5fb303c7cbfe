"""Builds the long-lived parts from the settings: each once per process, when it is first wanted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import KombuError

from tecken import inforce, redisclient, waiting
from tecken.breaker import Breaker
from tecken.canaries import CanaryWatch
from tecken.errors import CouldNotAsk, StoreAway
from tecken.limits.memory import MemoryLimiter
from tecken.limits.port import Limiter
from tecken.limits.redis import RedisLimiter
from tecken.limits.usage import RedisLedger, Usage, keep_sending
from tecken.runtimeconfig.current import on_change, options
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.staging import Staging
from tecken.storage.backends.uploaded_files import OwnSymbols, stored_symbols
from tecken.storage.disk_space import DiskSpace, Volume
from tecken.storage.factory import own_files_for, page_files_for, upstreams_for
from tecken.storage.lookup_log import Journal
from tecken.storage.miss_counts import Miss, MissCounts
from tecken.storage.port import OwnFiles, PageFiles, Stored, SymbolSource
from tecken.storage.presence_cache import Known
from tecken.storage.search import Chain, Search
from tecken.storage.upstreams.switched import Switched
from tecken.store.access_counts import Accesses, Watched
from tecken.store.hit_counts import Tally
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.store.redis import RedisPageStore
from tecken.symbolication.conversion.converter import Adder, Preparer, Replacer
from tecken.symbolication.conversion.lock import RedisTurns
from tecken.symbolication.conversion.page_file_builder import MAX_MEMORY_BYTES, Conversion
from tecken.symbolication.conversion.queue import CeleryCold, InlineCold, Worker
from tecken.symbolication.conversion.status import RedisBoard
from tecken.symbolication.explain import Explainer
from tecken.symbolication.invalidation import Herald, Listener
from tecken.symbolication.loader import Library
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader
from tecken.symbols.ids import TRY, ModuleKey, TryModuleKey

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

logger = logging.getLogger(__name__)
PREPARE_TASK = "tecken.symbolicate.tasks.prepare"
CONVERT_TASK = "tecken.symbolicate.tasks.convert"
FIRST, NEXT, LAST = 0, 3, 9  # priorities, as a queue on Redis has them
DEMO_STORE_BYTES = 128 * 1024 * 1024
TASK_EXPIRES_SECONDS = 600  # a request waits for seconds; nobody remembers an older one

T = TypeVar("T")


_forgets: list[Callable[[], None]] = []


def once(build: Callable[[], T]) -> _lru_cache_wrapper[T]:
    cached = cache(build)
    _forgets.append(cached.cache_clear)
    return cached


def forget() -> None:
    """Everything is built anew when it is next wanted."""
    for clear in _forgets:
        clear()


# A forked child builds its own parts: threads, sockets and obstore's runtime do not survive a fork.
os.register_at_fork(after_in_child=forget)


@once
def cache_client() -> redis.Redis:
    return redisclient.client(
        settings.CACHES["default"]["LOCATION"],
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )


@once
def counters_client() -> redis.Redis:
    return redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )


@once
def limiter() -> Limiter:
    """Who decides whether a caller asks too often."""
    if settings.DEMO_MODE:
        return MemoryLimiter()
    return RedisLimiter(counters_client(), Breaker("redis-cache"), lambda: usage().processes)


def limits_are_local() -> bool:
    """Makes no limiter, for log lines ask."""
    return limiter.cache_info().currsize > 0 and limiter().local


@once
def usage() -> Usage:
    """What is used is told to it."""
    made = Usage(RedisLedger(counters_client()))
    keep_sending(made)
    return made


@once
def store_client() -> redis.Redis:
    return redisclient.client(
        settings.CACHES["store"]["LOCATION"],
        timeout=settings.REDIS_STORE_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
    )


@once
def queue_client() -> redis.Redis:
    return redisclient.client(
        settings.REDIS_QUEUE_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )


@once
def store_breaker() -> Breaker:
    """Open while the store is away. This one and the next make nothing else: log lines ask them."""
    return Breaker("the symbol store", raises=StoreAway)


@once
def queue_breaker() -> Breaker:
    """Open while no job can be sent."""
    return Breaker("the queue")


@once
def canary_watch() -> CanaryWatch:
    """Judgement of the last look of health. Makes nothing else: log lines read it."""
    return CanaryWatch()


@once
def page_store() -> PageStore:
    if settings.DEMO_MODE:
        return MemoryPageStore(DEMO_STORE_BYTES)
    return RedisPageStore(store_client(), store_breaker())


@once
def accesses() -> Accesses:
    """Of the pages that this process asks the store for."""
    return Accesses(counters_client(), Breaker("redis-cache"))


@once
def own_files() -> OwnFiles:
    """What was uploaded to us for good."""
    return own_files_for(settings.STORAGE_URL, inforce.patience)


@once
def try_files() -> OwnFiles:
    """What was uploaded to us from try builds."""
    return own_files_for(
        settings.TRY_STORAGE_URL or f"{settings.STORAGE_URL.rstrip('/')}/try", inforce.patience
    )


@once
def staging() -> Staging:
    """What is on its way to either of them."""
    return Staging(bucket_for(settings.STORAGE_URL, inforce.patience))


@once
def disk_space() -> DiskSpace:
    """Free space of the directories of this process. `check` before anything large is accepted."""
    places = {"temporary_files": Path(settings.SPOOL_DIR or gettempdir())}
    for name, url in {"storage": settings.STORAGE_URL, "try_storage": settings.TRY_STORAGE_URL}.items():
        if url.startswith("file:"):
            places[name] = Path(unquote(urlsplit(url).path))
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and (file := Path(database["NAME"])).is_absolute():
        places["database"] = file.parent
    return DiskSpace(Volume(name, path) for name, path in places.items())


@once
def upstreams() -> tuple[Switched, ...]:
    """Return the upstreams, in order: the only ones of this process."""
    return upstreams_for(settings.SYMBOL_SOURCES, inforce.patience, inforce.sources_off)


@once
def search() -> Search:
    """Return every place where files may be, in order."""
    # It imports models. Log lines import this module, before Django has loaded its applications.
    from tecken.storage.codes import module_of  # noqa: PLC0415

    return Search(
        regular=own_files(),
        try_files=try_files(),
        upstreams=upstreams(),
        presence=known(),
        find_by_code_id=module_of,
        record=journal().note,
    )


@once
def source() -> Chain:
    """Return where symbols of regular modules come from: our own storage, then upstreams."""
    return search().symbols


@once
def journal() -> Journal:
    """Remembers what sources said for as long as that nobody has a module."""
    return Journal(cache_client(), Breaker("redis-cache"), lambda: inforce.lifetimes().absent)


def own_stamp(module: ModuleKey) -> Stored | None:
    return stored_symbols(own_files(), module)


def try_stamp(module: ModuleKey) -> Stored | None:
    return stored_symbols(try_files(), module)


@once
def page_files() -> PageFiles:
    """For whoever writes them, or reads a whole header at leisure."""
    return page_files_for(settings.STORAGE_URL, inforce.patience)


@once
def turns() -> RedisTurns:
    return RedisTurns(cache_client(), patience=settings.CONVERT_TIME_LIMIT_SECONDS)


@once
def conversion() -> Conversion:
    return Conversion(inforce.symbol_bytes, settings.SPOOL_DIR)


@once
def job_conversion() -> Conversion:
    """Conversion in a worker, whose processes do one job at a time; in a demo all is one process."""
    max_memory = None if settings.DEMO_MODE else MAX_MEMORY_BYTES
    return Conversion(inforce.symbol_bytes, settings.SPOOL_DIR, max_memory)


@once
def header_cache() -> HeaderCache:
    return HeaderCache(options().process_header_bytes, inforce.header_seconds)


@once
def page_cache() -> PageCache:
    return PageCache(options().process_page_bytes)


@once
def tally() -> Tally:
    return Tally(cache_client(), Breaker("redis-cache"))


@once
def library() -> Library:
    reader = PageFileReader(page_files_for(settings.STORAGE_URL))
    store = Watched(page_store(), accesses())
    made = Library(store, reader, header_cache(), page_cache(), tally().note)
    on_change("process_header_bytes", lambda size: header_cache().resize(size))
    on_change("process_page_bytes", lambda size: page_cache().resize(size))
    Listener(cache_client(), made).start()
    return made


@once
def preparer() -> Preparer:
    return _preparer(source(), own_stamp, conversion())


@once
def try_preparer() -> Preparer:
    return _preparer(OwnSymbols(try_files()), try_stamp, conversion())


def _preparer(
    source: SymbolSource, stamp: Callable[[ModuleKey], Stored | None], conversion: Conversion
) -> Preparer:
    return Preparer(
        source=source,
        stamp=stamp,
        page_files=page_files(),
        store=page_store(),
        turns=turns(),
        conversion=conversion,
        lifetimes=inforce.lifetimes,
    )


@once
def adder() -> Adder:
    return Adder(
        files=own_files(),
        page_files=page_files(),
        store=page_store(),
        turns=turns(),
        conversion=conversion(),
        tell=herald().tell,
        changed=known().changed,
    )


@once
def board() -> RedisBoard:
    return RedisBoard(cache_client(), Breaker("redis-cache"))


@once
def cold() -> CeleryCold:
    """Return the client of the workers for web processes, which never convert."""
    return CeleryCold(board(), send_prepares, inforce.client_places, known_absent, sleep=waiting.sleep)


def known_absent(modules: Sequence[ModuleKey]) -> dict[ModuleKey, Missing]:
    """Return modules that need no job: every source has lately answered that it does not have them.

    The store has the same answer, unless it has evicted it or does not answer.
    """
    return journal().absent(modules, [each.name for each in source().sources])


@once
def inline_cold() -> InlineCold:
    """For commands, which need no worker."""
    return InlineCold(preparer())


@once
def worker() -> Worker:
    return Worker(board(), _preparer(source(), own_stamp, job_conversion()))


@once
def try_worker() -> Worker:
    return Worker(board(), _preparer(OwnSymbols(try_files()), try_stamp, job_conversion()))


def worker_of(module: ModuleKey) -> Worker:
    return try_worker() if isinstance(module, TryModuleKey) else worker()


@once
def herald() -> Herald:
    return Herald(cache_client(), Breaker("redis-cache"))


@once
def replacer() -> Replacer:
    return Replacer(
        page_files=page_files(),
        store=page_store(),
        board=board(),
        tell=herald().tell,
        send=send_convert,
    )


def replaced(module: ModuleKey) -> None:
    """Make the new symbol file of `module` count; see Replacer.replaced for when to call this.

    Only what was made of the same scope is dropped: a new symbol file of a try build, with `in_try(module)`,
    leaves the regular module as it is.
    """
    # What sources answered before is no longer true, and would keep the module absent without a job.
    with suppress(CouldNotAsk):
        journal().forget(module)
    (replacer() if options().upload_convert_ahead else remover()).replaced(module)


@once
def remover() -> Replacer:
    return Replacer(
        page_files=page_files(),
        store=page_store(),
        board=board(),
        tell=herald().tell,
        send=_on_demand,
    )


def _on_demand(module: ModuleKey) -> None:
    """Nothing to convert ahead: mostly nobody else has it."""


def removed(module: ModuleKey) -> None:
    """As `replaced`, for a symbol file that was deleted."""
    remover().replaced(module)


@once
def known() -> Known:
    """Tell it of every file that is stored or deleted: `known().changed(key, code_file, code_id)`."""
    return Known(cache_client(), Breaker("redis-cache"), inforce.file_lifetimes)


@once
def miss_counts() -> MissCounts:
    return MissCounts(cache_client(), Breaker("redis-cache"))


def count_absent(modules: Sequence[ModuleKey]) -> None:
    """Count modules that a symbolication asked for and no source has, unless one is switched off."""
    if modules and not search().has_disabled_upstream:
        miss_counts().count([Miss(*module) for module in modules], by_symbolication=True)


@once
def explainer() -> Explainer:
    return Explainer(
        search=search(),
        page_files=page_files_for(settings.STORAGE_URL),
        store=page_store(),
        board=board(),
        journal=journal(),
        known=known(),
        # Without `known_absent`: a person who has it looked for again wants a worker to look.
        cold=CeleryCold(board(), send_prepares, inforce.client_places),
    )


class Job(NamedTuple):
    task: str
    arguments: Sequence[object]
    expires: int | None = None
    priority: int = FIRST


def send_prepares(modules: Sequence[ModuleKey], *, first: bool) -> None:
    """Send a job for each module, the first one ahead of all others with `first`. Raises CouldNotAsk."""
    priorities = [FIRST if first else NEXT, *[NEXT] * (len(modules) - 1)]
    pairs = zip(modules, priorities, strict=True)
    send_all(
        [Job(PREPARE_TASK, _arguments(module), TASK_EXPIRES_SECONDS, priority) for module, priority in pairs]
    )


def _arguments(module: ModuleKey) -> list[str]:
    return [*module, TRY] if isinstance(module, TryModuleKey) else [*module]


def send_convert(module: ModuleKey) -> None:
    """Send a job ahead of demand, behind every job that a request waits for. Raises CouldNotAsk."""
    send(CONVERT_TASK, _arguments(module), priority=LAST)


def send(task: str, arguments: Sequence[object], expires: int | None = None, priority: int = FIRST) -> None:
    """Send one job. Raises CouldNotAsk as `send_all` does."""
    send_all([Job(task, arguments, expires, priority)])


def send_all(jobs: Sequence[Job]) -> None:
    """Send jobs in one round trip.

    Raises CouldNotAsk after the broker's one short timeout, or at once when it has just failed to answer.
    Some of the jobs may have been sent then.
    """
    queue_breaker().admit()
    try:
        with current_app.producer_or_acquire() as producer:
            producer.connection.ensure_connection(max_retries=0)  # else it is tried for six seconds
            # A demo's queue is in memory and has no such method: a round trip costs nothing there.
            with getattr(producer.channel, "together", nullcontext)():
                for job in jobs:
                    current_app.send_task(
                        job.task,
                        args=job.arguments,
                        expires=job.expires,
                        priority=job.priority,
                        retry=False,
                        producer=producer,
                    )
    except (KombuError, redis.RedisError, OSError) as error:
        queue_breaker().failed()
        logger.warning("cannot send %s: %s", jobs[0].task, error)
        raise CouldNotAsk("the queue does not answer") from error
    queue_breaker().answered()
