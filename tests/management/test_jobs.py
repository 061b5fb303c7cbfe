from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tecken.celery import app
from tecken.jobs import keys
from tecken.jobs.records import DeadLetter, records
from tecken.redisclient import services as redis_services
from tests.support.queue_away import queue_away

pytestmark = pytest.mark.usefixtures("clear_redis_cache")

KEEP = "tecken.upload.tasks.keep_upload"
UPLOAD = DeadLetter(
    id="4f1c-1", task=KEEP, queue="upload", why="OSError: full\nmore", died=2.0, args=[7], sent=1.0, starts=1
)
CONVERT = DeadLetter(
    id="4f1c-2", task="tecken.symbolicate.tasks.convert", queue="convert", why="started 3 times", died=3.0,
    args=["xul.pdb", "0"], starts=3, trace="Traceback\n",
)  # fmt: skip
UNREAD = DeadLetter(id="5a", task="unknown", queue="upload", why="no job can be made of it", died=1.0)


def jobs(*arguments: str) -> str:
    """Run the command and return its output. Without the mark django_db a query would fail."""
    printed = io.StringIO()
    call_command("jobs", *arguments, stdout=printed, stderr=io.StringIO(), no_color=True)
    return printed.getvalue()


@pytest.fixture
def letters(clear_redis_cache: None) -> None:
    for letter in (UPLOAD, CONVERT, UNREAD):
        records().store_letter(letter)


def test_jobs_without_jobs_and_workers_prints_none() -> None:
    assert jobs("list") == "0 dead letters\n"
    assert "no worker" in jobs("queues")


@pytest.mark.usefixtures("letters")
def test_list_prints_dead_letters_newest_first() -> None:
    newest, *_, last = jobs("list").splitlines()
    first = "4f1c-2  1970-01-01 00:00:03 UTC  tecken.symbolicate.tasks.convert  started 3 times"
    assert (newest, last) == (first, "3 dead letters")
    assert [letter["id"] for letter in json.loads(jobs("list", "--json"))] == ["4f1c-2", "4f1c-1", "5a"]


@pytest.mark.usefixtures("letters")
def test_show_prints_all_details() -> None:
    told = jobs("show", "4f1c-1")
    assert "args     [7]\n" in told
    assert "why      OSError: full\nmore\n" in told
    assert json.loads(jobs("show", "4f1c-2", "--json"))["trace"] == "Traceback\n"


@pytest.mark.usefixtures("letters")
def test_show_shortened_id_finds_the_only_match() -> None:
    assert "unknown" in jobs("show", "5")
    with pytest.raises(CommandError, match="2 dead letters begin with 4f1c"):
        jobs("show", "4f1c")
    with pytest.raises(CommandError, match="there is no dead letter 6"):
        jobs("drop", "6")


@pytest.mark.usefixtures("letters")
def test_retry_puts_the_job_into_the_queue_of_its_task() -> None:
    assert jobs("retry", "4f1c-1") == "1 put back\n"
    with app.connection_for_read() as connection, connection.SimpleQueue("upload") as queue:
        message = queue.get_nowait()
    assert (message.headers["task"], message.headers["id"]) == (KEEP, "4f1c-1")
    assert message.payload[0] == [7]
    assert message.headers["expires"] is None
    assert [letter.id for letter in records().letters()] == ["4f1c-2", "5a"]


@pytest.mark.usefixtures("letters")
def test_retry_unreadable_message_fails() -> None:
    with pytest.raises(CommandError, match="5a: its message cannot be read"):
        jobs("retry", "5a")
    assert len(records().letters()) == 3


@pytest.mark.usefixtures("letters")
def test_retry_all_of_a_task_leaves_the_others() -> None:
    assert jobs("retry", "--all", "--task", CONVERT.task) == "1 put back\n"
    assert jobs("drop", "--all", "--task", KEEP) == "1 dropped\n"
    assert jobs("drop", "--all") == "1 dropped\n"
    assert jobs("list") == "0 dead letters\n"


@pytest.mark.parametrize("arguments", [("retry",), ("drop", "1", "--all")])
def test_retry_without_id_or_all_fails(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="expected one ID or more"):
        jobs(*arguments)


def test_queues_prints_jobs_workers_and_beat() -> None:
    app.send_task(KEEP, [1])
    app.send_task("any", queue="convert", priority=9)
    redis_services.queue_client().hset(keys.CANARIES, "convert", "0.25 1000")
    seconds, _ = redis_services.queue_client().time()
    for name, at in (("here", seconds), ("gone", 0)):
        said = {"at": at, "queues": ["convert"], "held": 2, "running": 1}
        redis_services.queue_client().hset(keys.WORKERS, name, json.dumps(said))
    redis_services.queue_client().set(keys.BEAT, "token")
    told = jobs("queues")
    assert "beat            running" in told
    assert "upload                1        1" in told
    assert "convert               1        0" in told
    assert "0.2 s" in told
    assert "worker gone: silent" in told
    assert "worker here: 1 running of 2" in told
    document = json.loads(jobs("queues", "--json"))
    assert document["depth"] == 2
    assert [worker["alive"] for worker in document["workers"]] == [False, True]


@pytest.mark.parametrize("command", ["list", "queues"])
def test_jobs_unreachable_queue_fails_with_the_reason(command: str) -> None:
    with queue_away(), pytest.raises(CommandError, match="the queue does not answer"):
        jobs(command)
