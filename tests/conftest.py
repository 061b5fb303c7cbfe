"""Every run (with xdist every worker) has two Redis servers of its own, with the conf files of production."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import django
import hypothesis
import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from tests.support.options import Override
from tests.support.redis_server import RedisServer
from tests.support.site_account import cache_server, store_server

servers = ExitStack()
site_servers: list[RedisServer] = []
# A Redis server of a busy machine may not answer within the site's own timeouts.
PATIENCE = {"REDIS_TIMEOUT_SECONDS": "5", "REDIS_CONNECT_TIMEOUT_SECONDS": "5"}

GZIP = b"\x1f\x8b"
LONGEST_ID = 60  # bytes

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # a busy machine fails nothing
    print_blob=True,
    derandomize="CI" in os.environ,  # new cases are looked for at a desk; CI judges a change, not its luck
)
hypothesis.settings.load_profile("house")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers to start: one a core for `-n logical`, two for `-n auto`.

    Most tests spend half their time waiting for servers, and two of them keep a core busy. A test of a whole
    site starts a dozen processes, which need the core for themselves to be on time.
    """
    workers_per_core = 1 if config.option.numprocesses == "logical" else 2
    return workers_per_core * len(os.sched_getaffinity(0))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return the id of packed and of long bytes; None for others, which have that of pytest.

    gzip writes the second of its time. Workers that collect a test in two seconds would have two ids of it.
    """
    if isinstance(val, bytes) and (val.startswith(GZIP) or len(val) > LONGEST_ID):
        return f"{len(val)} bytes"
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Before pytest-django sets Django up, which reads the settings once."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # xdist's controller runs no tests, and its environment would be inherited by the workers
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C, so that the servers end too
    cache = servers.enter_context(cache_server())
    store = servers.enter_context(store_server())
    site_servers[:] = cache, store
    # Not var/storage: a site that `make run` has started keeps its files there.
    storage = Path(servers.enter_context(TemporaryDirectory(prefix="tecken-tests-")))
    own = PATIENCE if "STORAGE_URL" in os.environ else {**PATIENCE, "STORAGE_URL": storage.as_uri()}
    os.environ.update(
        DJANGO_SETTINGS_MODULE="tecken.settings",
        SECRET_KEY="tests",
        REDIS_URL=cache.site_url,
        REDIS_STORE_URL=store.site_url,
        HEALTH_CHECK_SECONDS="30",  # a busy machine makes nothing late
        **own,
    )
    django.setup()  # pytest-django would only do so if the settings had been known earlier
    # The sites that tests start have timeouts and files of their own.
    for name in own:
        del os.environ[name]
    # Without it Celery sends to the broker of its own default, and a refused job opens redis-cache's breaker.
    importlib.import_module("tecken.celery")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real ones are slow
    settings.RUNTIME_CONFIG_WATCHER = "memory"  # in this process; those that tests start watch Redis


@pytest.fixture(scope="session", autouse=True)
def static_files_are_listed_once() -> Iterator[None]:
    """Each test client has a handler of its own, and whitenoise lists some hundred files of Django for it."""
    from whitenoise.middleware import WhiteNoiseMiddleware  # noqa: PLC0415 - only now is Django set up

    files: dict[str, object] = {}
    list_files = WhiteNoiseMiddleware.add_files_from_finders

    def copy_files(middleware: WhiteNoiseMiddleware) -> None:
        if not files:
            list_files(middleware)
            files.update(middleware.files)
        middleware.files.update(files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", copy_files)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests themselves out of the garbage collection: they stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    servers.close()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database that is to go must have no connection; a thread of health keeps one."""
    from tecken import services  # noqa: PLC0415 - only now is Django set up
    from tests.support.ids import start_ids_apart  # noqa: PLC0415 - as above

    with django_db_blocker.unblock():
        start_ids_apart()
    yield
    services.discard_all()
    for thread in threading.enumerate():
        if thread.name == "health: database":
            thread.join(30)


@pytest.fixture(autouse=True)
def same_process_for_each_test() -> Iterator[None]:
    """Undo what a test leaves in its process: a worker's name, missed canaries, and a server given up."""
    from tecken.monitoring import degraded  # noqa: PLC0415 - only now is Django set up
    from tecken.redisclient.guard import redis_cache  # noqa: PLC0415 - as above
    from tecken.runtimeconfig import current  # noqa: PLC0415 - as above

    forget_canaries = degraded.canary_watch.cache_clear
    yield
    current.set_kind("command")
    forget_canaries()
    redis_cache().breaker.record_answer()


@pytest.fixture(autouse=True)
def without_native_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native files are converted in their own tests alone: to find one reads the database."""
    monkeypatch.setattr("tecken.storage.services.find_engine", lambda: None)


@pytest.fixture(autouse=True)
def no_command_is_denied() -> Iterator[None]:
    """Fail a test in which the site sent a command that is not checked at its start (`inspect.CACHE`)."""
    yield
    denied = [command for server in site_servers for command in server.denied()]
    assert denied == []


@pytest.fixture
def runtime_options() -> Iterator[Override]:
    """`runtime_options(symbolicate_max_jobs=2)`: in force in all threads, until the test ends."""
    from tecken.runtimeconfig.current import overridden  # noqa: PLC0415 - only now is Django set up

    with ExitStack() as stack:

        def override(**values: object) -> None:
            stack.enter_context(overridden(**values))

        yield override


@pytest.fixture
def clear_redis_cache() -> None:
    """Redis-cache is empty: cache, queue and runtime configuration."""
    from django_redis import get_redis_connection  # noqa: PLC0415 - only now is Django set up

    get_redis_connection("default").flushall()


@pytest.fixture
def clear_redis_store(clear_redis_cache: None) -> None:
    """Both servers are empty, so that a test may use either cache."""
    from django_redis import get_redis_connection  # noqa: PLC0415 - as above

    get_redis_connection("store").flushall()
