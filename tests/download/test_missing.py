from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from redis.exceptions import LockError
from redis.lock import Lock

from tecken.download import missing
from tecken.download.missing import MissWriter
from tecken.download.models import MissingSymbol
from tecken.redisclient import client as redis_client
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.settings import BASE_DIR
from tecken.storage import miss_counts as counting
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import Miss, MissCounts, Requester
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.tasks import write_misses
from tests.download.conftest import PACKED, PATH, XUL, Put
from tests.support.options import Override
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

MISS = Miss("xul.pdb", XUL.debug_id, "", "")
COLUMNS = ("debug_file", "debug_id", "code_file", "code_id", "count")
HEAD = "debug_file,debug_id,code_file,code_id"


class Counts:
    """Counting and writing together."""

    def count(self, miss: Miss) -> None:
        storage_services.miss_counts().count([miss])

    def write(self) -> int:
        return MissWriter(redis_services.cache_client()).write()


@pytest.fixture
def counts() -> Counts:
    return Counts()


def rows() -> list[tuple[object, ...]]:
    return sorted(MissingSymbol.objects.values_list(*COLUMNS))


def test_misses_are_counted_and_written_in_one_go(counts: Counts) -> None:
    for _ in range(3):
        counts.count(MISS)
    counts.count(MISS._replace(code_file="xul.dll"))
    assert rows() == []
    assert counts.write() == 2
    assert rows() == [(*MISS, 3), (*MISS._replace(code_file="xul.dll"), 1)]
    counts.count(MISS)
    assert counts.write() == 1
    assert rows()[0] == (*MISS, 4)
    assert counts.write() == 0


def test_a_request_writes_no_sql(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        for path in (PATH, PATH, f"{PATH}?code_file=xul.dll&code_id=5ab38077a000"):
            assert client.get(path).status_code == 404
    write_misses()
    assert rows() == [(*MISS, 2), (*MISS[:2], "xul.dll", "5AB38077A000", 1)]


@pytest.mark.parametrize(
    "query", ["code_file=a%0Ab&code_id=5AB3", "code_file=xul.dll&code_id=xyz", "code_file=xul.dll"]
)
def test_what_a_client_adds_is_left_out_when_it_is_nonsense(client: Client, query: str) -> None:
    client.get(f"{PATH}?{query}")
    write_misses()
    assert rows() == [(*MISS, 1)]


def test_only_symbols_are_counted(client: Client, put: Put) -> None:
    for name in ("xul.pd_", "file.ptr"):
        client.get(PATH.replace("xul.sym", name))
    put(XUL, PACKED)
    client.get(PATH)
    client.get(PATH.replace(XUL.debug_id, "0" * 33))
    write_misses()
    assert rows() == []


def test_a_writer_that_was_killed_loses_nothing(counts: Counts) -> None:
    counts.count(MISS)
    redis_services.cache_client().rename(counting.COUNTS, missing.TAKEN)
    counts.count(MISS)
    counts.write()
    assert rows() == [(*MISS, 2)]


def test_more_than_a_batch(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "BATCH", 2)
    for number in range(5):
        counts.count(MISS._replace(debug_id=f"{number:033}"))
    assert counts.write() == 5
    assert len(rows()) == 5


def test_there_is_a_limit_on_what_is_counted(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_COUNTED_FILES", 1)
    for miss in (MISS, MISS._replace(debug_file="other"), MISS):
        counts.count(miss)
    counts.write()
    assert rows() == [(*MISS, 2)]


def test_counts_that_nobody_writes_expire(counts: Counts) -> None:
    counts.count(MISS)
    assert 0 < redis_services.cache_client().ttl(counting.COUNTS) <= counting.COUNTS_KEPT_SECONDS


def test_one_writes_at_a_time(counts: Counts) -> None:
    counts.count(MISS)
    with Lock(redis_services.cache_client(), missing.TURN, timeout=10):
        write_misses()
        with pytest.raises(LockError):
            counts.write()
    assert rows() == []


def test_without_redis_cache_nothing_is_counted() -> None:
    with redis_client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        MissCounts(refused, RedisGuard("redis-cache")).count([MISS])


def test_count_name_longer_than_any_file_has_is_left_out(client: Client) -> None:
    client.get(f"/{'n' * 256}/{XUL.debug_id}/{'n' * 256}.sym")
    client.get(f"{PATH}?code_file={'c' * 256}&code_id=5AB3")
    write_misses()
    assert rows() == []


def test_count_symbolication_and_download_share_a_row(counts: Counts) -> None:
    counts.count(MISS)
    storage_services.miss_counts().count(
        [MISS, MISS._replace(debug_file="nss3.pdb")], Requester.SYMBOLICATION
    )
    counts.write()
    found = sorted(MissingSymbol.objects.values_list("debug_file", "count", "symbolications"))
    assert found == [("nss3.pdb", 1, 1), ("xul.pdb", 2, 1)]


def test_count_debuggers_have_columns_of_their_own(client: Client) -> None:
    build_id = "ab" * 20
    for part in ("debuginfo", "executable", "section/.gdb_index"):
        assert client.get(f"/buildid/{build_id}/{part}").status_code == 404
    # SymSrv requests a cabinet and a pointer after the file; only the file counts.
    for name in ("xul.pdb", "xul.pd_", "file.ptr", "xul.sym"):
        client.get(PATH.replace("xul.sym", name))
    client.get(f"/_.debug/elf-buildid-sym-{build_id}/_.debug")
    write_misses()
    columns = ("debug_file", "code_id", "count", "debuginfod", "symsrv")
    assert sorted(MissingSymbol.objects.values_list(*columns)) == [
        ("", build_id.upper(), 3, 2, 1),
        ("xul.pdb", "", 2, 0, 1),
    ]


def test_count_debuggers_leave_room_for_other_files(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_COUNTED_FOR_DEBUGGERS", 2)
    for number in range(4):
        miss = Miss("", "", "", f"{number:040}")
        storage_services.miss_counts().count([miss], Requester.DEBUGINFOD)
    counts.count(MISS)
    assert counts.write() == 3


def test_rows_without_a_name_have_a_quarter_of_the_table(counts: Counts, runtime_options: Override) -> None:
    runtime_options(keep_missing_rows=8)
    for number in range(4):
        counts.count(MISS._replace(debug_id=f"{number:033}"))
        for _ in range(number + 2):
            storage_services.miss_counts().count([Miss("", "", "", f"{number:040}")], Requester.DEBUGINFOD)
    write_misses()
    assert MissingSymbol.objects.filter(debug_file="xul.pdb").count() == 4
    assert sorted(MissingSymbol.objects.filter(debug_file="").values_list("count", flat=True)) == [4, 5]


def test_symbolicate_absent_modules_are_counted_once_a_request(client: Client) -> None:
    symbolication_services.converter().convert(ObjectId(XUL.debug_file, XUL.debug_id))
    job = {"memoryMap": [[XUL.debug_file, XUL.debug_id]], "stacks": [[[0, 1], [0, 2]], [[0, 3]]]}
    for _ in range(2):
        assert client.post("/symbolicate/v5", {"jobs": [job, job]}, "application/json").status_code == 200
    write_misses()
    assert list(MissingSymbol.objects.values_list("debug_file", "count", "symbolications")) == [
        ("xul.pdb", 2, 2)
    ]


def test_write_beyond_the_bound_drops_the_least_wanted_and_oldest(
    counts: Counts, runtime_options: Override
) -> None:
    runtime_options(keep_missing_rows=3)
    for number, times in ((1, 1), (2, 2), (3, 1), (4, 1), (5, 3)):
        for _ in range(times):
            counts.count(MISS._replace(debug_id=f"{number:033}"))
        write_misses()
    left = MissingSymbol.objects.order_by("debug_id").values_list("debug_id", flat=True)
    assert [int(debug_id) for debug_id in left] == [2, 4, 5]


def test_beat_sends_the_task() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["write-misses"]["task"] == write_misses.name


# Lists ------------------------------------------------------------------------------------------------------


@pytest.fixture
def three() -> list[MissingSymbol]:
    """Seen today, yesterday and the day before; the last one is called oddly."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = [
        MissingSymbol(digest=str(days), debug_file=name, count=1, last_seen=midnight - timedelta(days=days))
        for days, name in enumerate(("today.pdb", 'a "b", c', "old.pdb"))
    ]
    return MissingSymbol.objects.bulk_create(made)


def lines(client: Client, url: str) -> list[str]:
    return client.get(url).getvalue().decode().split("\r\n")


def test_csv(client: Client, three: list[MissingSymbol]) -> None:
    assert client.get("/missingsymbols.csv")["Content-Type"] == "text/csv; charset=utf-8"
    assert lines(client, "/missingsymbols.csv?today=1") == [HEAD, "today.pdb,,,", ""]
    assert lines(client, "/missingsymbols.csv") == [HEAD, "today.pdb,,,", '"a ""b"", c",,,', ""]
    assert client.head("/missingsymbols.csv").status_code == 200


@pytest.mark.parametrize(
    "start", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1"]
)
def test_csv_of_a_name_that_is_a_formula_is_harmless(client: Client, start: str) -> None:
    columns = {"debug_file": start, "debug_id": "A", "code_file": start, "code_id": start}
    MissingSymbol.objects.create(digest="0" * 32, count=1, last_seen=datetime.now(UTC), **columns)
    text = client.get("/missingsymbols.csv").getvalue().decode()
    [_head, row] = csv.reader(io.StringIO(text, newline=""))
    assert row == [f"'{start}", "A", f"'{start}", f"'{start}"]


@pytest.mark.parametrize(
    "name", ["xul.pdb", "a=b", "libc.so.6", "[vdso]", "{guid}.xpi", "'quoted", "a b+c~", " x"]
)
def test_csv_of_any_other_name_is_as_it_was(client: Client, name: str) -> None:
    MissingSymbol.objects.create(digest="0" * 32, debug_file=name, count=1, last_seen=datetime.now(UTC))
    assert client.get("/missingsymbols.csv").getvalue().decode() == f"{HEAD}\r\n{name},,,\r\n"


def test_every_writer_of_csv_makes_its_cells_harmless() -> None:
    paths = [path for path in (BASE_DIR / "tecken").rglob("*.py") if "csv.writer(" in path.read_text()]
    assert len(paths) == 3
    assert all("harmless_cell" in path.read_text() for path in paths)


def test_json(client: Client, three: list[MissingSymbol]) -> None:
    answer = client.get("/missingsymbols/").json()
    assert [row["debug_file"] for row in answer["missing_symbols"]] == ["today.pdb", 'a "b", c', "old.pdb"]
    assert set(answer["missing_symbols"][0]) == {
        *COLUMNS,
        "symbolications",
        "debuginfod",
        "symsrv",
        "last_seen",
    }
    assert answer["next"] is None


@pytest.mark.parametrize("rows_per_page", [1, 2, 3, 7])
def test_pages_have_every_row_once(
    client: Client, monkeypatch: pytest.MonkeyPatch, rows_per_page: int
) -> None:
    monkeypatch.setattr(missing, "PAGE_ROWS", rows_per_page)
    now = datetime.now(UTC)
    moments = [now, now, now, now - timedelta(microseconds=1), now - timedelta(days=1)]
    made = [
        MissingSymbol(digest=str(n), debug_file=str(n), count=n, last_seen=at) for n, at in enumerate(moments)
    ]
    MissingSymbol.objects.bulk_create(made)
    url: str | None = "/missingsymbols/"
    seen: list[str] = []
    while url:
        answer = client.get(url).json()
        assert len(answer["missing_symbols"]) <= rows_per_page
        seen += [row["debug_file"] for row in answer["missing_symbols"]]
        url = answer["next"]
    assert seen == ["2", "1", "0", "3", "4"]


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1-1", f"{10**17}-1"])
def test_a_page_that_cannot_be(client: Client, after: str) -> None:
    answer = client.get(f"/missingsymbols/?after={after}")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "after must be what next says on the page before",
    )


@pytest.mark.parametrize("url", ["/missingsymbols/", "/missingsymbols.csv"])
def test_lists_are_only_read(client: Client, url: str) -> None:
    answer = client.post(url)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
