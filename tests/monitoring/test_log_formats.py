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

from tecken.monitoring.logs import OnlyTracebacks, Routine, formatter, log_context
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
def test_json_line_has_all_fields(written: io.StringIO) -> None:
    with log_context(request_id="r1", task_id="t1"):
        logger.warning("Nothing %s", "new")
    (entry,) = objects(written)
    first = {"level": "warning", "logger": "tests.logs", "event": "Nothing new"}
    ids = {"request_id": "r1", "task_id": "t1"}
    assert entry.items() >= {**first, **ids, "config_version": 0, "state": "ok"}.items()
    assert list(entry)[:4] == ["time", "level", "logger", "event"]
    assert entry.keys() == {*first, *ids, "time", "config_version", "state", "pid"}


@pytest.mark.parametrize("shape", ["line"], indirect=True)
def test_text_line_has_level_logger_version_and_id(written: io.StringIO) -> None:
    with log_context(request_id="r1"):
        logger.warning("Nothing %s", "new")
    (entry,) = lines(written)
    assert entry.partition(" ")[2] == "WARNING tests.logs [v0]: Nothing new request_id=r1"


def test_event_with_line_breaks_is_one_line(written: io.StringIO) -> None:
    logger.warning("GET /a\n2026-01-01 INFO forged: \x1b[31m%s", "\r\n")
    assert len(lines(written)) == 1


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_json_line_has_the_traceback(written: io.StringIO) -> None:
    try:
        int("no")
    except ValueError:
        logger.exception("It failed")
    (entry,) = objects(written)
    assert str(entry["exception"]).endswith("base 10: 'no'")


@pytest.mark.parametrize("shape", ["line"], indirect=True)
def test_text_line_is_followed_by_the_traceback(written: io.StringIO) -> None:
    try:
        int("no")
    except ValueError:
        logger.exception("It failed")
    assert lines(written)[1] == "Traceback (most recent call last):"
    assert lines(written)[-1].startswith("ValueError: ")


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_line_has_the_configuration_version_of_its_request(written: io.StringIO) -> None:
    before = current.state().version
    with current.pinned():
        current.backend().write(Change(before + 1, "s", "ada", "", "", "cli"), {}, before)
        logger.warning("Inside")
    logger.warning("Outside")
    assert [entry["config_version"] for entry in objects(written)] == [before, before + 1]


@pytest.mark.parametrize("shape", ["json"], indirect=True)
def test_line_omits_unknown_fields_of_a_record(written: io.StringIO) -> None:
    logger.warning("A job", extra={"data": {"id": "t7", "args": "('secret',)"}, "more": "secret"})
    (entry,) = objects(written)
    assert entry["task_id"] == "t7"
    assert b"secret" not in orjson.dumps(entry)


def test_only_mistakes_keeps_records_with_tracebacks() -> None:
    record = logging.makeLogRecord({})
    assert not OnlyTracebacks().filter(record)
    record.exc_info = (ValueError, ValueError(), None)
    assert OnlyTracebacks().filter(record)


@pytest.mark.django_db
def test_request_for_an_unknown_host_logs_one_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A traceback for each of them would let anyone fill the log."""
    assert client.get("/login/", headers={"Host": "evil.example"}).status_code == 400
    [record] = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None


def test_web_server_parent_process_has_the_format_of_the_site() -> None:
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
def test_routine_scheduled_job_that_succeeds_is_debug(task: str, level: int, passes: bool) -> None:
    record = logging.LogRecord("celery.app.trace", level, "", 0, "Task done", (), None)
    record.data = {"name": task, "id": "1"}
    assert Routine().filter(record) == passes
    assert record.levelno == (level if passes else logging.DEBUG)
