from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.exceptions import Retry
from pytest_django import Settings

from tecken import services
from tecken.celery import app
from tecken.errors import NotFound, Unavailable
from tecken.jobs import sending
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.backends.files import gzip_chunks
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.conversion import keys
from tecken.symbolication.conversion.status import ClientPlaces, Ready
from tecken.symbolication.tasks import FIRST_PAUSE, TRIES_AGAIN, convert, prepare
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import TRY, ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.symbols.pagefile.file import Header
from tests.support.redis_server import free_port
from tests.symbolication.samples import sym

pytestmark = pytest.mark.django_db

SAMPLES = Path(__file__).parent / "data" / "samples"
CRASH_C = ObjectId("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
IN_CRASH_C = 0x1180  # an offset in one of its functions


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, settings: Settings, clear_redis_store: None) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    services.discard_all()


def test_services_are_built_once() -> None:
    assert symbolication_services.symbol_loader() is symbolication_services.symbol_loader()
    assert symbolication_services.conversion_tracker() is symbolication_services.conversion_tracker()


def test_services_in_a_forked_child_are_built_again() -> None:
    """Run a process of its own, because a process with threads, such as this one, must not fork."""
    script = """if True:
        import os
        from tecken.symbolication import services
        kept = services.symbol_loader()
        if (child := os.fork()) == 0:
            os._exit(42 if services.symbol_loader() is not kept else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        assert services.symbol_loader() is kept
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def test_convert_task_converts_a_module_and_wakes_waiting_requests() -> None:
    symbolication_services.conversion_tracker().claim([CRASH_C], "one", ClientPlaces(most=1, first=1))
    prepare("crash-c", CRASH_C.debug_id.lower())
    assert symbolication_services.conversion_tracker().get([CRASH_C]) == [Ready()]
    assert isinstance(symbolication_services.symbol_loader().headers([CRASH_C], Trace())[CRASH_C], Header)


def test_convert_task_answers_waiting_requests_before_the_page_file(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, page_files = symbolication_services.conversion_tracker(), storage_services.page_files()
    write, early = page_files.write, []

    def record(module: ObjectId, chunks: Iterable[bytes]) -> None:
        early.append(tracker.frames({CRASH_C: [IN_CRASH_C, 1]}))
        write(module, chunks)

    monkeypatch.setattr(page_files, "write", record)
    tracker.claim([CRASH_C], "one", ClientPlaces(most=1, first=1), {CRASH_C: [IN_CRASH_C, 1]})
    prepare(*CRASH_C)
    (frames,) = (found[CRASH_C].frames for found in early)
    assert frames[1] is None
    assert frames[IN_CRASH_C]
    assert tracker.frames({CRASH_C: [IN_CRASH_C]}) == {}


def test_waiting_request_is_woken_by_the_worker() -> None:
    """The pause between two polls is longer than the test, so that only a message can end it."""
    symbolication_services.symbol_loader()
    until_it_listens()
    signals = symbolication_services.result_signals()
    with signals.watch([CRASH_C.key]) as event:
        prepare(*CRASH_C)
        assert event.wait(30)


@pytest.mark.parametrize("answered", ["missing", "other symbols"])
def test_uploaded_symbols_apply_in_a_process_that_has_others_in_memory(
    settings: Settings, answered: str
) -> None:
    settings.SYMBOL_SOURCES = [] if answered == "missing" else settings.SYMBOL_SOURCES
    services.discard_all()
    assert not isinstance(header(), Header)
    prepare(*CRASH_C)
    first = header()
    assert isinstance(first, Missing if answered == "missing" else Header)
    until_it_listens()
    storage_services.own_files().put(symbol_file(CRASH_C), gzip_chunks([sym(CRASH_C)]))
    symbolication_services.invalidate_module(CRASH_C)
    prepare(*CRASH_C)
    while (made := header()) == first:
        pass  # the message is on its way
    assert isinstance(made, Header)
    assert made.metadata.symbols == 3


def test_search_of_regular_modules_excludes_try_symbols(settings: Settings) -> None:
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    storage_services.try_files().put(symbol_file(CRASH_C), gzip_chunks([sym(CRASH_C)]))
    with pytest.raises(NotFound), storage_services.symbol_search().open(CRASH_C):
        pytest.fail("opened")


def test_replaced_try_symbols_keep_the_regular_page_file() -> None:
    prepare(*CRASH_C)
    regular = header()
    storage_services.try_files().put(symbol_file(CRASH_C), gzip_chunks([sym(CRASH_C)]))
    symbolication_services.invalidate_module(CRASH_C.in_try())
    convert(*CRASH_C, TRY)
    assert isinstance(store_services.page_store().headers([CRASH_C]).get(CRASH_C), bytes)
    store_services.page_store().forget(CRASH_C)
    assert header() == regular
    assert {module for module, _ in storage_services.page_files().entries()} == {CRASH_C, CRASH_C.in_try()}


def test_try_files_are_stored_apart(tmp_path: Path, settings: Settings) -> None:
    assert storage_services.try_files().name == f"file://{tmp_path}/storage/try"
    settings.TRY_STORAGE_URL = f"file://{tmp_path}/elsewhere"
    services.discard_all()
    assert storage_services.try_files().name == f"file://{tmp_path}/elsewhere"


def header() -> Header | Missing | None:
    return symbolication_services.symbol_loader().headers([CRASH_C], Trace()).get(CRASH_C)


def until_it_listens() -> None:
    while not redis_services.cache_client().pubsub_numsub(keys.REPLACED)[0][1]:
        pass


@pytest.fixture
def refused() -> Iterator[None]:
    """Return a queue on a server that does not exist."""
    with Celery(broker=f"redis://127.0.0.1:{free_port()}/1"):
        yield
    app.set_current()


@pytest.mark.usefixtures("refused")
def test_sending_to_a_queue_that_refuses_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="the queue does not answer"):
        symbolication_services.send_prepares([CRASH_C], first=True)


def test_sending_puts_the_task_into_its_queue() -> None:
    symbolication_services.send_prepares([CRASH_C], first=True)
    with app.connection_for_read() as connection, connection.SimpleQueue("convert") as queue:
        args, _, _ = queue.get_nowait().payload
    assert args == [*CRASH_C]


def test_conversion_for_a_request_precedes_those_of_uploads() -> None:
    symbolication_services.invalidate_module(CRASH_C)
    symbolication_services.send_prepares([CRASH_C], first=True)
    with app.connection_for_read() as connection, connection.SimpleQueue("convert") as queue:
        names = [queue.get_nowait().headers["task"] for _ in range(2)]
    assert names == [symbolication_services.PREPARE_TASK, symbolication_services.CONVERT_TASK]


def test_conversion_of_a_first_module_precedes_those_of_earlier_requests() -> None:
    names = [ObjectId(f"{i}.so", "0" * 33) for i in range(4)]
    symbolication_services.send_prepares(names[:3], first=True)
    symbolication_services.send_prepares(names[3:], first=True)
    with app.connection_for_read() as connection, connection.SimpleQueue("convert") as queue:
        found = [ObjectId(*queue.get_nowait().payload[0]) for _ in range(4)]
    assert found == [names[0], names[3], names[1], names[2]]


def test_uploaded_module_is_converted() -> None:
    convert(*CRASH_C)
    assert isinstance(header(), Header)


def test_uploaded_module_is_retried_while_a_source_is_unreachable(tmp_path: Path, settings: Settings) -> None:
    settings.SYMBOL_SOURCES = [f"file://{tmp_path}/not/mounted"]
    services.discard_all()
    for retries in range(TRIES_AGAIN):
        store_services.page_store().forget(CRASH_C)  # as if the time for which it is remembered had passed
        convert.push_request(args=CRASH_C, retries=retries, called_directly=False, is_eager=False)
        with pytest.raises(Retry) as told:
            convert.run(*CRASH_C)
        convert.pop_request()
        longest = FIRST_PAUSE * 2**retries
        assert longest / 2 <= told.value.when <= longest
    convert.push_request(args=CRASH_C, retries=TRIES_AGAIN, called_directly=False)
    convert.run(*CRASH_C)
    convert.pop_request()


def test_uploaded_module_that_is_absent_is_not_retried(settings: Settings) -> None:
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    convert(*CRASH_C)
    found = header()
    assert isinstance(found, Missing)
    assert found.kind == "absent"


def test_job_of_a_module_has_the_spelling_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstreams compare names exactly; jobs of a former release have the same form."""
    sent: list[sending.JobRequest] = []
    monkeypatch.setattr(sending, "send_all", sent.extend)
    module = ObjectId("Foo.PDB", "A" * 33)
    symbolication_services.send_prepares([module, module.in_try()], first=True)
    symbolication_services.send_convert(module)
    names = ["Foo.PDB", "A" * 33]
    assert [job.arguments for job in sent] == [names, [*names, "try"], names]
