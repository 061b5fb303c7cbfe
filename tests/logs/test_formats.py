from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest
from django.test import Client

from tecken.logs.about import about
from tecken.logs.formats import OnlyMistakes, Routine, formatter
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Change
from tecken.settings import BASE_DIR

logger = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def afresh() -> None:
    current.reset()


@pytest.fixture(params=["line", "json"])
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(shape: str) -> Iterator[io.StringIO]:
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter(shape))
    logger.addHandler(handler)
    yield handler.stream
    logger.removeHandler(handler)


def lines(written: io.StringIO) -> list[str]:
    return written.getvalue().splitlines()


def objects(written: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in lines(written)]


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_an_object_has_these_fields(written: io.StringIO) -> None:
    with about(request_id="r1", task_id="t1"):
        logger.warning("Nothing %s", "new")
    (told,) = objects(written)
    first = {"level": "warning", "logger": "tests.logs", "event": "Nothing new"}
    ids = {"request_id": "r1", "task_id": "t1"}
    assert told.items() >= {**first, **ids, "config_version": 0, "state": "ok"}.items()
    assert list(told)[:4] == ["time", "level", "logger", "event"]
    assert told.keys() == {*first, *ids, "time", "config_version", "state", "pid"}


@pytest.mark.parametrize("shape", ["line"], indirect=True)
def test_a_line_has_what_a_person_wants(written: io.StringIO) -> None:
    with about(request_id="r1"):
        logger.warning("Nothing %s", "new")
    (told,) = lines(written)
    assert told.partition(" ")[2] == "WARNING tests.logs [v0]: Nothing new request_id=r1"


def test_one_event_is_one_line(written: io.StringIO) -> None:
    logger.warning("GET /a\n2026-01-01 INFO forged: \x1b[31m%s", "\r\n")
    assert len(lines(written)) == 1


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_a_traceback_is_in_its_object(written: io.StringIO) -> None:
    try:
        int("no")
    except ValueError:
        logger.exception("It failed")
    (told,) = objects(written)
    assert str(told["exception"]).endswith("base 10: 'no'")


@pytest.mark.parametrize("shape", ["line"], indirect=True)
def test_a_traceback_follows_its_line(written: io.StringIO) -> None:
    try:
        int("no")
    except ValueError:
        logger.exception("It failed")
    assert lines(written)[1] == "Traceback (most recent call last):"
    assert lines(written)[-1].startswith("ValueError: ")


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_a_line_tells_what_is_in_force_for_whatever_it_is_about(written: io.StringIO) -> None:
    before = current.state().version
    with current.pinned():
        current.backend().write(Change(before + 1, "s", "ada", "", "", "cli"), {}, before)
        logger.warning("Inside")
    logger.warning("Outside")
    assert [told["config_version"] for told in objects(written)] == [before, before + 1]


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_other_fields_of_a_record_are_left_out(written: io.StringIO) -> None:
    logger.warning("A job", extra={"data": {"id": "t7", "args": "('secret',)"}, "more": "secret"})
    (told,) = objects(written)
    assert told["task_id"] == "t7"
    assert b"secret" not in orjson.dumps(told)


def test_of_djangos_lines_on_requests_tracebacks_are_news() -> None:
    record = logging.makeLogRecord({})
    assert not OnlyMistakes().filter(record)
    record.exc_info = (ValueError, ValueError(), None)
    assert OnlyMistakes().filter(record)


@pytest.mark.django_db
def test_request_for_an_unknown_host_logs_one_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A traceback for each of them would let anyone fill the log."""
    assert client.get("/login/", headers={"Host": "evil.example"}).status_code == 400
    [record] = [each for each in caplog.records if each.name == "django.security.DisallowedHost"]
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None


def test_web_server_parent_process_writes_as_the_site_does() -> None:
    script = (
        "import logging, logging.config; from tecken.front.__main__ import LOGGING\n"
        "logging.config.dictConfig(LOGGING)\n"
        "logging.getLogger('uvicorn.error').info('Started parent process [1]')\n"
        "logging.getLogger('uvicorn.error').info('Child process [2] died')"
    )
    environment = {**os.environ, "LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=BASE_DIR, env=environment, capture_output=True, check=True
    )
    (line,) = map(orjson.loads, done.stderr.splitlines())
    shown = line["logger"], line["level"], line["event"]
    assert shown == ("uvicorn.error", "info", "Child process [2] died")


@pytest.mark.parametrize(
    ("task", "level", "passes"),
    [
        ("tecken.jobs.tasks.canary", logging.INFO, False),
        ("tecken.jobs.tasks.canary", logging.ERROR, True),
        ("tecken.symbolicate.tasks.convert", logging.INFO, True),
    ],
)
def test_routine_scheduled_job_that_is_well_is_debug(task: str, level: int, passes: bool) -> None:
    record = logging.LogRecord("celery.app.trace", level, "", 0, "Task done", (), None)
    record.data = {"name": task, "id": "1"}
    assert Routine().filter(record) == passes
    assert record.levelno == (level if passes else logging.DEBUG)
