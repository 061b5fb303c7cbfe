"""Options of sources and lifetimes: whoever asks has what is in force then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django import Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.errors import NotFound, SourceDisabled, Unavailable
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig.current import overridden
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import COUNTS
from tecken.storage.presence_cache import upstream_file_key
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.store import port as store_keys
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.symbols.pagefile.file import Header
from tests.support.http_upstream import HttpUpstream, Reply

pytestmark = pytest.mark.django_db
pytest_plugins = ["tests.support.upstreams"]

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
KEY = symbol_file(XUL)
PATH = f"/{KEY}"
TEXT = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\nPUBLIC 1000 0 main\n"


@pytest.fixture(autouse=True)
def web(
    tmp_path: Path, settings: Settings, upstream: HttpUpstream, clear_redis_store: None
) -> Iterator[HttpUpstream]:
    """The only upstream."""
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = [upstream.url]
    services.discard_all()
    yield upstream
    close()
    services.discard_all()


def close() -> None:
    """The connections."""
    for switched in storage_services.upstreams():
        if isinstance(switched.upstream, SymbolFileUpstream):
            switched.upstream.close()


def prepared() -> Header | Missing:
    store_services.page_store().forget(XUL)
    storage_services.page_files().delete(XUL)
    return symbolication_services.converter().convert(XUL)


def remembered() -> int:
    """Seconds."""
    return int(store_services.store_client().ttl(store_keys.missing_key(XUL)))


@pytest.mark.parametrize(
    ("option", "reply"),
    [
        ("absent_seconds", Reply(404)),
        ("malformed_seconds", Reply(body=b"nonsense\n")),
        ("unreachable_seconds", Reply(500)),
    ],
)
def test_how_long_a_no_is_remembered(web: HttpUpstream, option: str, reply: Reply) -> None:
    web.script[PATH] = reply
    for seconds in (60, 3000):
        with overridden(**{option: seconds}):
            assert isinstance(prepared(), Missing)
        assert seconds - 50 < remembered() <= seconds


def known_for() -> int:
    """Seconds."""
    return int(redis_services.cache_client().ttl(upstream_file_key(KEY)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("option", "status"), [("download_known_seconds", 200), ("absent_seconds", 404)], ids=["there", "absent"]
)
def test_how_long_a_file_is_known(web: HttpUpstream, option: str, status: int) -> None:
    web.script[PATH] = Reply(status, TEXT)
    for seconds in (60, 3000):
        with overridden(**{option: seconds}):
            Client().get(f"{PATH}?_refresh")
        assert seconds - 50 < known_for() <= seconds


@pytest.mark.parametrize(
    ("option", "value", "reply", "why"),
    [
        ("symbol_max_bytes", 10, Reply(body=TEXT), "a symbol file of more than 10 bytes"),
        ("source_timeout_seconds", 0.05, Reply(mute=True), "no answer in time"),
        ("source_deadline_seconds", 0.3, Reply(body=TEXT, drip=0.1), "no answer in time"),
    ],
)
def test_patience(web: HttpUpstream, option: str, value: float, reply: Reply, why: str) -> None:
    web.script[PATH] = Reply(body=TEXT)
    assert isinstance(prepared(), Header)
    web.script[PATH] = reply
    with overridden(**{option: value}):
        missing = prepared()
    assert isinstance(missing, Missing)
    assert why in missing.reason
    web.script[PATH] = Reply(body=TEXT)
    assert isinstance(prepared(), Header)


def test_what_is_kept_of_a_file_has_the_same_bound(web: HttpUpstream) -> None:
    storage_services.own_files().put(KEY, [TEXT])
    assert isinstance(prepared(), Header)
    with overridden(symbol_max_bytes=10):
        assert isinstance(prepared(), Missing)


@pytest.mark.django_db
def test_upstream_that_throttles_downloads_is_not_asked_by_conversion(web: HttpUpstream) -> None:
    web.script[PATH] = Reply(429, headers={"Retry-After": "77"})
    assert Client().get(PATH).status_code == 503
    missing = prepared()
    assert isinstance(missing, Missing)
    assert missing.kind == "unreachable"
    assert len(web.requests) == 1


class TestSwitchedOff:
    @pytest.mark.parametrize("named", ["the URL", "a part of it", "the name"])
    def test_a_source_is_not_asked(self, web: HttpUpstream, named: str) -> None:
        web.script[PATH] = Reply(body=TEXT)
        text = {
            "the URL": web.url,
            "a part of it": "127.0.0.1",
            "the name": storage_services.symbol_search().name[-20:],
        }[named]
        with overridden(sources_off=("elsewhere", text)):
            missing = prepared()
            assert web.requests == []
        assert isinstance(missing, Missing)
        assert missing.kind == "absent"
        assert missing.reason.endswith(f"; {web.url} is switched off")
        assert isinstance(prepared(), Header)

    def test_another_is_asked(self, web: HttpUpstream) -> None:
        web.script[PATH] = Reply(body=TEXT)
        with overridden(sources_off=("elsewhere",)):
            assert isinstance(prepared(), Header)

    def test_what_is_ours_is_found(self, web: HttpUpstream) -> None:
        storage_services.own_files().put(KEY, [TEXT])
        with overridden(sources_off=("127.0.0.1", "file:")):
            assert isinstance(prepared(), Header)

    def test_absence_does_not_outlast_the_switch(self, web: HttpUpstream) -> None:
        with overridden(sources_off=(web.url,), absent_seconds=3000, unreachable_seconds=7):
            prepared()
            assert 0 < remembered() <= 7

    def test_a_client_is_told_why(self, web: HttpUpstream) -> None:
        body = orjson.dumps({"memoryMap": [list(XUL)], "stacks": [[[0, 0x1000]]]})

        def ask() -> Any:
            return Client().post("/symbolicate/v5", body, "text/plain", headers={"Debug": "1"}).json()

        with overridden(sources_off=(web.url,)):
            prepared()
            answer = ask()
        assert answer["results"][0]["found_modules"] == {str(XUL): False}
        assert answer["debug"]["missing"][str(XUL)].endswith("is switched off")

    @pytest.mark.django_db
    def test_nobody_is_sent_there(self, web: HttpUpstream) -> None:
        web.script[PATH] = Reply(body=TEXT)
        assert Client().get(PATH).status_code == 302
        with overridden(sources_off=(web.url,)):
            assert Client().get(PATH).status_code == 404
            assert 0 < known_for() <= 5
            assert redis_services.cache_client().hlen(COUNTS) == 0
        assert Client().get(f"{PATH}?_refresh").status_code == 302

    @pytest.mark.django_db
    def test_another_upstream_that_does_not_answer_is_no_absence(
        self, web: HttpUpstream, tmp_path: Path, settings: Settings
    ) -> None:
        settings.SYMBOL_SOURCES = [web.url, f"file://{tmp_path}/not/mounted"]
        close()
        services.discard_all()
        with overridden(sources_off=(web.url,)):
            assert Client().get(PATH).status_code == 503
            with pytest.raises(Unavailable), storage_services.symbol_search().open(XUL):
                pytest.fail("opened")

    def test_it_is_a_kind_of_absence(self) -> None:
        assert issubclass(SourceDisabled, NotFound)
