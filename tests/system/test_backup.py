"""Backup of a site that serves and takes uploads, and its restore on other servers and in another place."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest

from tests.support.s3_server import ACCESS, SECRET, S3Bucket, s3_server
from tests.support.sentinel import wait_until
from tests.system.site import ROOT
from tests.system.test_upgrade import (
    TO_CONVERT,
    TO_KEEP,
    WITHIN,
    Facts,
    File,
    UpgradedSite,
    bury_a_job,
    fill,
    leave_jobs,
    postgres,
    read,
    read_answer,
    read_queue,
    symbol_file,
    upload,
)


class RestoredSite(UpgradedSite):
    """Empty place with two Redis servers, whose processes start after `restore`."""

    def _start(self) -> None:
        self.cache.start()
        self.store.start()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its exit status."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=self.code, env=self._environment, capture_output=True, text=True, check=False
        )


class Uploads:
    """Uploads without a pause, until the end of the block. `numbers` has those that were acknowledged."""

    def __init__(self, site: UpgradedSite) -> None:
        self._site = site
        self._stopped = Event()
        self._thread = Thread(target=self._run)
        self.files: list[File] = []

    def __enter__(self) -> Uploads:
        self._thread.start()
        wait_until(lambda: len(self.files) > 2, WITHIN, "uploads are going on")
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            number = len(self.files)
            file = symbol_file(f"libgoing{number}.so", f"{number + 1:032X}0")
            upload(
                self._site,
                [file, File(f"{file.module[0]}/{file.module[1]}/plain", bytes([number % 256]) * 5000)],
            )
            self.files.append(file)


class Restored(NamedTuple):
    """Site that was restored, what was there before, and what is there now."""

    site: RestoredSite
    before: Facts
    after: Facts
    going: list[File]
    number: int
    dead_letter: str
    first: str
    second: str


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"backup-{name}"))
        for name in ("sqlite", "postgresql", "s3")
    ],
)
def restored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    home, new_home = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("new")
    with ExitStack() as stack:
        former, new, destination = {}, {}, str(tmp_path_factory.mktemp("backups"))
        if request.param == "postgresql":
            former["DATABASE_URL"] = stack.enter_context(postgres()).url
            new["DATABASE_URL"] = stack.enter_context(postgres()).url
        if request.param == "s3":
            endpoint = stack.enter_context(s3_server())
            S3Bucket.create(endpoint, "symbols")
            cloud = {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": ACCESS,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
            }
            former = {**cloud, "STORAGE_URL": "s3://symbols/site"}
            new = {**cloud, "STORAGE_URL": "s3://symbols/new", "TRY_STORAGE_URL": "s3://symbols/new-try"}
            destination = "s3://symbols/backups"
        with UpgradedSite(home, ROOT, **former) as site:
            fill(site)
            dead_letter = bury_a_job(site)
            number = leave_jobs(site)
            before = read(site)
            with Uploads(site) as uploads:
                going = list(uploads.files)
                first = site.manage("backup", destination)
                assert "is complete" in first
                second = site.manage("backup", destination, "--keep", "1")
            token, try_token = site.token, site.try_token
        site = stack.enter_context(RestoredSite(new_home, ROOT, **new))
        site.token, site.try_token = token, try_token
        site.manage("backup", "--verify", destination)
        site.manage("restore", destination)
        site.start_worker()
        site.start_web()
        wait_until(lambda: read_queue(site)["queue_depth"] == 0, WITHIN, "the jobs in the queue are done")
        yield Restored(site, before, read(site), going, number, dead_letter, first, second)


def test_backup_restored_elsewhere_has_all_rows(restored: Restored) -> None:
    before, after = restored.before, restored.after
    for name in ("history", "options", "tokens"):
        assert getattr(after, name) == getattr(before, name)
    # Lists have the latest rows only, and uploads went on.
    for row in before.uploads:
        if row["id"] != restored.number:
            assert shared(restored.site, f"/api/uploads/upload/{row['id']}", row) == without_place(row)
    for row in before.files:
        assert shared(restored.site, f"/api/uploads/files/file/{row['id']}", row) == without_place(row)


def test_backup_restored_elsewhere_symbolicates_and_serves(restored: Restored) -> None:
    assert restored.after.answers == restored.before.answers
    for path, (status, location, content) in restored.before.downloads.items():
        if status != 302 or "symbols" not in location:
            assert restored.after.downloads[path] == (status, location, content), path


def test_backup_under_uploads_has_all_that_were_acknowledged(restored: Restored) -> None:
    for file in restored.going:
        assert b"::run()" in read_answer(restored.site, "/symbolicate/v5", [file.module])
        plain = restored.site.get(f"/{file.module[0]}/{file.module[1]}/plain")
        assert (plain.status_code, len(plain.content)) == (200, 5000)


def test_backup_restored_jobs_are_done(restored: Restored) -> None:
    for file in (TO_CONVERT, TO_KEEP):
        assert b"::run()" in read_answer(restored.site, "/symbolicate/v5", [file.module])
    done = restored.site.get(f"/api/uploads/upload/{restored.number}").json()
    assert done["completed_at"] is not None


def test_backup_restored_dead_letter_is_there(restored: Restored) -> None:
    assert restored.dead_letter in restored.site.manage("jobs", "list")


def test_backup_restored_storage_has_no_problem(restored: Restored) -> None:
    assert "0 problems" in restored.site.manage("symbols", "fsck", "--content")


def test_backup_second_copies_new_files_only(restored: Restored) -> None:
    (former, _), (total, copied) = map(numbers, (restored.first, restored.second))
    # Archives that waited for a worker may be gone.
    assert copied <= total - former + 2


def numbers(output: str) -> tuple[int, int]:
    """Return the files of a backup, and those that were copied."""
    found = re.search(r"complete: ([\d,]+) files of .*, copied ([\d,]+) of", output)
    assert found, output
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def shared(site: RestoredSite, path: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row of another list is now."""
    details = site.get(path).raise_for_status().json()
    return without_place({key: details[key] for key in row})


def without_place(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what another place changes."""
    return {key: value for key, value in row.items() if key not in ("bucket_name", "etag", "upload")}
