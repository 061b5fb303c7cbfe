from __future__ import annotations

import getpass
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.utils import timezone

from tecken.management.configuration import watch_lines
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.options import CATALOGUE
from tests.runtimeconfig.backends import MemoryBackend, UnreachableBackend, set_by_hand

pytestmark = pytest.mark.django_db
ME = getpass.getuser()
Config = Callable[..., str]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> UnreachableBackend:
    mine = UnreachableBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine


def config(*args: str, warnings: io.StringIO | None = None) -> str:
    """Run the command and return its output."""
    printed = io.StringIO()
    call_command("config", *args, stdout=printed, stderr=warnings or io.StringIO(), no_color=True)
    return printed.getvalue()


def test_set_prints_the_change(backend: MemoryBackend) -> None:
    assert config("set", "symbolicate_max_jobs", "20") == (
        "version 1: symbolicate_max_jobs 10 (default) -> 20; no process is running\n"
    )
    assert backend.read().texts == {"symbolicate_max_jobs": "20"}
    version = Version.objects.get()
    assert (version.by, version.source) == (ME, "cli")


def test_set_several_options_makes_one_version(backend: MemoryBackend) -> None:
    printed = config("set", "symbolicate_max_jobs", "20", "log_level", "DEBUG", "--why", "a crash storm")
    assert printed.startswith(
        "version 1: log_level INFO (default) -> DEBUG, symbolicate_max_jobs 10 (default) -> 20; "
    )
    assert Version.objects.get().why == "a crash storm"


def report(process: str, version: int, stamp: str) -> Report:
    return Report(process, "web", version, stamp, 0.4, 0)


def test_set_prints_how_many_processes_have_the_change(backend: MemoryBackend) -> None:
    backend.report(report("a:1", 5, ""))
    backend.report(report("a:2", 5, ""))
    printed = config("set", "symbolicate_max_jobs", "20")
    assert "; applied by 2 of 2 processes in " in printed
    assert printed.endswith(" ms\n")


def test_set_names_processes_without_the_change(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.management.commands.config.ROLLOUT_SECONDS", 0.0)
    backend.report(report("a:1", 0, ""))
    printed = config("set", "symbolicate_max_jobs", "20")
    assert "0 of 1" in printed
    assert printed.endswith(" ms, waiting for a:1\n")


def test_set_same_value_makes_no_version(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20")
    assert config("set", "symbolicate_max_jobs", "20") == "version 1: nothing to change\n"


def test_set_undelivered_change_prints_a_warning(away: UnreachableBackend) -> None:
    warnings = io.StringIO()
    printed = config("set", "symbolicate_max_jobs", "20", warnings=warnings)
    assert printed == "version 1: symbolicate_max_jobs 10 (default) -> 20; recorded\n"
    assert warnings.getvalue() == (
        "warning: the processes could not be reached; they get the change when the connection is back\n"
    )


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ("set", "symbolicate_max_jobs", "0"),
            "symbolicate_max_jobs should be a whole number from 1 to 1000",
        ),
        (("set", "symbolicate_max_job", "1"), "did you mean symbolicate_max_jobs"),
        (("set", "symbolicate_max_jobs", "1", "log_level"), "log_level: a value is missing"),
        (("set", "log_level", "INFO", "log_level", "DEBUG"), "given twice: log_level"),
        (("set", "log_level", "INFO", "--from", "noon"), "'noon' should be a time"),
        (
            ("set", "log_level", "INFO", "--from", "2026-01-02", "--until", "2026-01-01"),
            "end after its start",
        ),
        (("get", "symbolicate_max_job"), "did you mean symbolicate_max_jobs"),
        (("unset", "symbolicate_max_job"), "did you mean symbolicate_max_jobs"),
        (("history", "symbolicate_max_job"), "did you mean symbolicate_max_jobs"),
        (("history", "--limit", "-1"), "--limit: '-1' should be a whole number"),
        (("rollback", "7"), "there is no version 7; the newest is 0"),
        (("diff", "7"), "there is no version 7; the newest is 0"),
        (("import", "/nowhere"), "No such file"),
    ],
)
def test_config_invalid_arguments_fail_with_one_line(
    backend: MemoryBackend, args: tuple[str, ...], text: str
) -> None:
    with pytest.raises(CommandError, match=text.replace("(", r"\(").replace(")", r"\)")):
        config(*args)
    assert not Version.objects.exists()


def test_set_after_another_change_names_its_author(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20")
    with pytest.raises(CommandError, match=rf"newest version is 1, not 0, by {ME} \(cli\)"):
        config("set", "symbolicate_max_jobs", "30", "--expect", "0")


def test_set_from_until_makes_a_window(backend: MemoryBackend) -> None:
    config("set", "log_level", "DEBUG", "--from", "2126-01-01 22:00", "--until", "1h")
    assert backend.read().texts == {"log_level@2126-01-01T22:00:00Z/2126-01-01T23:00:00Z": "DEBUG"}
    assert config("get", "log_level") == "INFO\n"
    listed = config("list")
    assert "'DEBUG' from 2126-01-01 22:00:00 UTC until 2126-01-01 23:00:00 UTC by" in listed


def test_set_until_alone_begins_now(backend: MemoryBackend) -> None:
    before = timezone.now().replace(microsecond=0)
    config("set", "log_level", "DEBUG", "--until", "10m")
    (key,) = backend.read().texts
    start, end = (datetime.fromisoformat(text) for text in key.partition("@")[2].split("/"))
    assert before <= start <= timezone.now()
    assert end - start == timedelta(minutes=10)
    assert config("get", "log_level") == "DEBUG\n"


def test_unset_option_removes_its_windows_too(backend: MemoryBackend) -> None:
    config("set", "log_level", "DEBUG")
    config("set", "log_level", "ERROR", "--from", "2126-01-01")
    assert config("unset", "log_level").startswith(
        "version 3: log_level DEBUG -> INFO (default), log_level@2126-01-01T00:00:00Z/ ERROR -> not scheduled"
    )
    assert backend.read().texts == {}


def test_unset_window_keeps_the_others(backend: MemoryBackend) -> None:
    config("set", "log_level", "DEBUG")
    config("set", "log_level", "ERROR", "--from", "2126-01-01")
    assert "ERROR -> not scheduled" in config("unset", "log_level@2126-01-01T00:00:00Z/")
    assert backend.read().texts == {"log_level": "DEBUG"}


def test_unset_unknown_option_set_by_hand_removes_it(backend: MemoryBackend) -> None:
    set_by_hand(backend, nosuch="1")
    assert "nosuch 1 -> not set" in config("unset", "nosuch")


def test_get_prints_only_the_value(backend: MemoryBackend) -> None:
    assert config("get", "process_page_bytes") == "64MiB\n"
    config("set", "process_page_bytes", "1GiB")
    assert config("get", "process_page_bytes") == "1GiB\n"


def test_list_prints_every_option_and_its_author(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20", "--why", "a crash storm")
    backend.report(report("a:1", 1, backend.read().stamp))
    listed = config("list")
    for option in CATALOGUE.values():
        assert f"\n  {option.name} = " in listed
        assert option.allowed in listed
    first = listed.splitlines()[0]
    assert first.startswith("version 1, made ")
    assert first.endswith("1 of 1 processes have it, last contact at most 0.4 s ago")
    assert f"set to '20' by {ME} (cli) at " in listed
    assert "version 1: a crash storm" in listed


def test_list_of_version_0_prints_defaults(backend: MemoryBackend) -> None:
    assert config("list").startswith("version 0: nothing was ever set\n\nSymbolication\n")
    config("set", "symbolicate_max_jobs", "20")
    assert config("list").splitlines()[0].endswith("; no process is running")


def test_list_shows_ignored_values(backend: MemoryBackend) -> None:
    set_by_hand(backend, symbolicate_max_jobs="many", nosuch="1")
    warnings = io.StringIO()
    listed = config("list", warnings=warnings)
    assert "IGNORED: symbolicate_max_jobs should be a whole number" in listed
    assert "  nosuch = 1\n" in listed
    assert "symbolicate_max_jobs = 10\n" in listed
    assert "the database has version 0, the processes read 1" in warnings.getvalue()


def test_list_without_a_backend_prints_the_recorded_values(away: UnreachableBackend) -> None:
    config("set", "symbolicate_max_jobs", "20")
    warnings = io.StringIO()
    assert "symbolicate_max_jobs = 20\n" in config("list", warnings=warnings)
    assert "these are the database's values: redis-cache does not answer" in warnings.getvalue()


def test_list_without_a_database_prints_the_values_in_use(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20")
    warnings = io.StringIO()
    with connection.execute_wrapper(refuse):
        assert "symbolicate_max_jobs = 20\n" in config("list", warnings=warnings)
        with pytest.raises(CommandError, match="the database does not answer"):
            config("set", "symbolicate_max_jobs", "30")
    assert "it is unknown who set what" in warnings.getvalue()


def refuse(*_: object) -> None:
    raise OperationalError("connection refused")


def test_list_without_backend_and_database_fails(away: UnreachableBackend) -> None:
    with (
        connection.execute_wrapper(refuse),
        pytest.raises(CommandError, match="the database does not answer"),
    ):
        config("list")


def test_undo_restores_what_a_version_changed(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20", "log_level", "DEBUG")
    config("set", "upload_max_members", "5")
    printed = config("undo", "1", "--why", "too many")
    assert printed.startswith(
        "version 3: log_level DEBUG -> INFO (default), symbolicate_max_jobs 20 -> 10 (default); "
    )
    assert Version.objects.get(number=3).why == "too many"
    assert backend.read().texts == {"upload_max_members": "5"}


def test_undo_dry_run_prints_what_would_change(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20", "log_level", "DEBUG")
    config("set", "symbolicate_max_jobs", "30")
    assert config("undo", "1", "--dry-run") == (
        "would change log_level DEBUG -> INFO (default)\n"
        "changed again since, and with --later overwrite would change "
        "symbolicate_max_jobs 30 -> 10 (default)\n"
    )
    assert Version.objects.count() == 2


def test_undo_of_options_changed_again_needs_a_choice(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20", "log_level", "DEBUG")
    config("set", "symbolicate_max_jobs", "30")
    with pytest.raises(CommandError, match="symbolicate_max_jobs: changed again after version 1"):
        config("undo", "1")
    assert config("undo", "1", "--later", "keep").startswith("version 3: log_level DEBUG -> INFO (default); ")
    assert config("undo", "1", "--dry-run", "--later", "keep").startswith("changed again since")
    config("undo", "1", "--later", "overwrite")
    assert backend.read().texts == {}
    assert config("undo", "1", "--dry-run") == "nothing to change\n"


def test_undo_names_entries_that_it_leaves_out(backend: MemoryBackend) -> None:
    version = Version.objects.create(number=1, stamp="a", by="x", source="cli", values={"log_level": "DEBUG"})
    version.changes.create(entry="renamed", old="1")
    version.changes.create(entry="log_level", new="DEBUG")
    warnings = io.StringIO()
    config("undo", "1", warnings=warnings)
    assert "renamed left out: there is no option 'renamed'" in warnings.getvalue()
    assert backend.read().texts == {}


def test_rollback_restores_the_values_that_history_and_diff_show(backend: MemoryBackend) -> None:
    config("set", "symbolicate_max_jobs", "20")
    config("set", "symbolicate_max_jobs", "30", "log_level", "DEBUG", "--why", "more")
    lines = config("history").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("    2  ")
    assert lines[0].endswith(f" UTC  {ME} (cli)  log_level INFO (default) -> DEBUG  # more")
    assert len(config("history", "symbolicate_max_jobs").splitlines()) == 2
    assert len(config("history", "--limit", "1").splitlines()) == 1
    assert config("diff", "1") == "log_level INFO (default) -> DEBUG\nsymbolicate_max_jobs 20 -> 30\n"
    assert config("diff", "2", "1") == "log_level DEBUG -> INFO (default)\nsymbolicate_max_jobs 30 -> 20\n"
    assert config("rollback", "1").startswith("version 3: log_level DEBUG -> INFO (default), symbolicate_max")
    assert backend.read().texts == {"symbolicate_max_jobs": "20"}


def test_import_of_an_export_restores_it(backend: MemoryBackend, tmp_path: Path) -> None:
    config("set", "sources_off", "é, b", "log_level", "DEBUG")
    config("set", "log_level", "ERROR", "--from", "2126-01-01")
    before, file = dict(backend.read().texts), tmp_path / "config.json"
    file.write_text(config("export"))
    config("set", "log_level", "WARNING", "symbolicate_max_jobs", "5")
    assert config("import", str(file), "--dry-run") == (
        "would change log_level WARNING -> DEBUG\nwould change symbolicate_max_jobs 5 -> 10 (default)\n"
    )
    assert backend.read().version == 3
    assert config("import", str(file)).startswith("version 4: log_level WARNING -> DEBUG, ")
    assert backend.read().texts == before
    assert config("import", str(file), "--dry-run") == "nothing to change\n"


def test_export_leaves_out_invalid_values(backend: MemoryBackend) -> None:
    set_by_hand(backend, nosuch="1", log_level="DEBUG")
    warnings = io.StringIO()
    assert json.loads(config("export", warnings=warnings)) == {"log_level": "DEBUG"}
    assert "left out: there is no option 'nosuch'" in warnings.getvalue()


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_import_with_an_invalid_value_changes_nothing(
    backend: MemoryBackend, tmp_path: Path, dry_run: tuple[str, ...]
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"log_level": "LOUD", "symbolicate_max_jobs": 20, "nosuch": true}')
    with pytest.raises(CommandError, match=r"(?s)log_level.*nosuch"):
        config("import", str(file), *dry_run)
    file.write_text('["log_level"]')
    with pytest.raises(CommandError, match="expected a JSON object"):
        config("import", str(file), *dry_run)
    assert backend.read().version == 0


def test_import_dash_reads_standard_input(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.StringIO('{"symbolicate_max_jobs": 20, "upload_convert_ahead": false}')
    )
    config("import", "-")
    assert backend.read().texts == {"symbolicate_max_jobs": "20", "upload_convert_ahead": "false"}


def test_watch_prints_each_change(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.management.configuration.POLL_SECONDS", 0.0)
    lines = watch_lines(backend)
    assert next(lines).endswith(" UTC version 0; watching, Ctrl-C ends it")
    config("set", "log_level", "DEBUG", "--why", "to see")
    assert next(lines).endswith(f" UTC version 1 by {ME} (cli), to see: log_level INFO (default) -> DEBUG")
    set_by_hand(backend, log_level="ERROR")
    assert next(lines).endswith(" UTC version 2: log_level DEBUG -> ERROR")
    lines.close()


def test_watch_continues_when_the_backend_returns(
    away: UnreachableBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.management.configuration.POLL_SECONDS", 0.0)
    lines = watch_lines(away)
    assert next(lines).endswith("redis-cache does not answer; waiting")
    away.away = False
    assert "version 0; watching" in next(lines)
    lines.close()


def test_config_help_explains_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["list"], ["set"], ["import"], ["rollback"], ["history"]):
        with pytest.raises(SystemExit, match="0"):
            call_command("config", *args, "--help")
    printed = capsys.readouterr().out
    assert "25% of users" in printed
    assert "UTC" in printed
