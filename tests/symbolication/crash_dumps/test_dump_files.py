"""Dumps and reports in every storage."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tecken.errors import NotFound, Unavailable
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.services import own_files_for
from tecken.symbolication.crash_dumps.dump_files import DUMP, REPORT, DumpFiles

pytest_plugins = ["tests.support.upstreams"]

FIRST, SECOND = "1" * 32, "2" * 32
LONG_AGO = timezone.now() - timedelta(days=1)


@pytest.fixture(params=["local", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return (tmp_path / "not yet" / "there").as_uri()
    return f"s3://{request.getfixturevalue('s3_bucket').name}/some prefix"


@pytest.fixture
def files(url: str) -> DumpFiles:
    return DumpFiles(bucket_for(url), lambda: None)


def test_dump_is_opened_as_a_file_with_a_descriptor(files: DumpFiles) -> None:
    content = bytes(range(256)) * 4000
    dump = io.BytesIO(content)
    dump.read()
    files.put_dump(FIRST, dump)
    with files.open_dump(FIRST) as opened:
        assert opened.fileno() > 2
        assert opened.seek(0) == 0
        assert opened.read() == content
    assert files.has_dump(FIRST, LONG_AGO)
    assert not files.has_dump(FIRST, timezone.now() + timedelta(hours=1))
    assert not files.has_dump(SECOND, LONG_AGO)
    with pytest.raises(NotFound), files.open_dump(SECOND):
        pass


def test_report_is_read_until_it_expires(files: DumpFiles) -> None:
    files.put_report(FIRST, b'{"status":"OK"}')
    assert files.report(FIRST, LONG_AGO) == b'{"status":"OK"}'
    for dump_id, since in ((FIRST, timezone.now() + timedelta(hours=1)), (SECOND, LONG_AGO)):
        with pytest.raises(NotFound):
            files.report(dump_id, since)


def test_entries_are_dumps_and_reports_apart_from_uploaded_files(files: DumpFiles, url: str) -> None:
    files.put_dump(FIRST, io.BytesIO(b"MDMP"))
    files.put_report(SECOND, b"{}")
    kinds = {(part.dump_id, part.kind): part for part in files.entries()}
    assert kinds.keys() == {(FIRST, DUMP), (SECOND, REPORT)}
    assert kinds[FIRST, DUMP].size == 4
    assert abs(kinds[FIRST, DUMP].written - timezone.now()) < timedelta(minutes=10)
    assert list(own_files_for(url).keys()) == []
    for _ in range(2):
        files.delete(FIRST, DUMP)
        files.delete(SECOND, REPORT)
    assert list(files.entries()) == []


def test_storage_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = DumpFiles(bucket_for(f"file://{tmp_path}/file"), lambda: None)
    with pytest.raises(Unavailable):
        files.put_dump(FIRST, io.BytesIO(b"MDMP"))
    with pytest.raises(Unavailable), files.open_dump(FIRST):
        pass
