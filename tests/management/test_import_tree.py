"""`symbols import` of directories and buckets: each layout, interruptions, checks, and hostile ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
import zstandard
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.download.models import MissingSymbol
from tecken.redisclient.services import queue_client
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.upload.models import Protocol, Upload
from tecken.upload.retention import Retention
from tests.management.conftest import Manage
from tests.support.cabinets import cabinet
from tests.support.s3_server import ACCESS, SECRET, S3Bucket
from tests.upload.natives import BUILD_ID, DATA, ELF_ID, UNWIND_ID

pytest_plugins = ["tests.support.upstreams"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("importer")]
EMAIL = "ops@example.com"
IDS = [f"{number:032X}1" for number in range(1, 10)]
DAY = timedelta(days=1)
WRITTEN = datetime.now(UTC).replace(microsecond=0) - 90 * DAY
UNWIND_CODE_ID = "CD6F5F244000"


def sym(name: str, debug_id: str) -> bytes:
    return f"MODULE Linux x86_64 {debug_id} {name}\nPUBLIC 10 0 f\n".encode()


@pytest.fixture
def importer(house: Settings) -> User:
    house.SYMBOL_SOURCES = []
    return User.objects.create_user(EMAIL, EMAIL)


def fill(root: Path, files: Mapping[str, bytes], written: datetime = WRITTEN) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (written.timestamp(), written.timestamp()))
    return root


@pytest.fixture
def bucket_of_mozilla(tmp_path: Path) -> Path:
    """Symbol files as Mozilla's Tecken stores them, and a native file."""
    return fill(
        tmp_path / "former",
        {
            f"v1/a.so/{IDS[0]}/a.so.sym": gzip.compress(sym("a.so", IDS[0])),
            f"v1/b.so/{IDS[1]}/b.so.sym": gzip.compress(sym("b.so", IDS[1])),
            f"v1/unwind.pdb/{UNWIND_ID}/unwind.pdb": (DATA / "unwind.pdb").read_bytes(),
            f"try/v1/c.so/{IDS[2]}/c.so.sym": gzip.compress(sym("c.so", IDS[2])),
            "v0/left.txt": b"over",
        },
        datetime.now(UTC) - 10 * DAY,
    )


def run(manage: Manage, source: Path | str, layout: str, *options: str) -> list[str]:
    command = ("symbols", "import", str(source), "--layout", layout, "--user", EMAIL, *options)
    return manage(*command).splitlines()


def fail(manage: Manage, source: Path | str, layout: str, *options: str) -> tuple[str, str, int]:
    """Return the text of the error, what was reported before, and the exit status."""
    stderr = io.StringIO()
    command = ("symbols", "import", str(source), "--layout", layout, "--user", EMAIL, *options)
    with pytest.raises(CommandError) as caught:
        manage(*command, stderr=stderr)
    return str(caught.value), stderr.getvalue(), caught.value.returncode


def body(client: Client, path: str) -> bytes | int:
    reply = client.get(path, follow=True, headers={"Accept-Encoding": "gzip"})
    if reply.status_code != 200:
        return reply.status_code
    content = b"".join(reply)
    return gzip.decompress(content) if reply.headers.get("Content-Encoding") == "gzip" else content


def test_import_of_mozilla_layout_stores_regular_and_try_files(
    manage: Manage, bucket_of_mozilla: Path, client: Client
) -> None:
    assert run(manage, bucket_of_mozilla, "tecken")[-1] == "4 stored, 0 already there, 1 ignored, 0 failed"
    assert body(client, f"/a.so/{IDS[0]}/a.so.sym") == sym("a.so", IDS[0])
    assert body(client, f"/c.so/{IDS[2]}/c.so.sym") == 404
    assert body(client, f"/try/c.so/{IDS[2]}/c.so.sym") == sym("c.so", IDS[2])
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == (DATA / "unwind.pdb").read_bytes()
    assert set(Upload.objects.values_list("protocol", "user__email", "error")) == {
        (Protocol.IMPORT, EMAIL, "")
    }
    assert not Upload.objects.filter(completed_at=None).exists()
    row = SymbolFile.objects.get(debug_file="a.so")
    assert abs(row.created_at - (datetime.now(UTC) - 10 * DAY)) < timedelta(minutes=10)


def test_import_keeps_the_gzip_form(manage: Manage, tmp_path: Path, house: Settings) -> None:
    packed = gzip.compress(sym("a.so", IDS[0]), 1)
    run(manage, fill(tmp_path / "x", {f"a.so/{IDS[0]}/a.so.sym": packed}), "breakpad")
    stored = Path(house.STORAGE_URL.removeprefix("file://")) / f"v1/a.so/{IDS[0]}/a.so.sym"
    assert stored.read_bytes() == packed


def test_import_converts_nothing_ahead_of_demand(
    manage: Manage, bucket_of_mozilla: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A million modules would fill the queue, and their page files the storage."""
    queue = queue_client()
    queue.flushdb()
    run(manage, bucket_of_mozilla, "tecken")
    assert queue.dbsize() == 0
    assert not list(storage_services.page_files().entries())
    assert "conversion" not in caplog.text


def test_second_run_stores_nothing(manage: Manage, bucket_of_mozilla: Path) -> None:
    run(manage, bucket_of_mozilla, "tecken")
    before = list(SymbolFile.objects.values())
    assert run(manage, bucket_of_mozilla, "tecken")[-1] == "0 stored, 4 already there, 1 ignored, 0 failed"
    assert list(SymbolFile.objects.values()) == before
    lines = run(manage, bucket_of_mozilla, "tecken", "--dry-run")
    assert lines[-1].endswith("; 4 already there")


def test_limit_interrupts_and_the_next_run_continues(manage: Manage, bucket_of_mozilla: Path) -> None:
    assert run(manage, bucket_of_mozilla, "tecken", "--limit", "1")[-1].startswith("1 stored, 0 already")
    assert run(manage, bucket_of_mozilla, "tecken", "--limit", "1")[-1].startswith("1 stored, 1 already")
    assert run(manage, bucket_of_mozilla, "tecken")[-1].startswith("2 stored, 2 already there")
    assert Upload.objects.count() == 2
    assert not Upload.objects.filter(completed_at=None).exists()
    assert SymbolFile.objects.count() == 4


def test_new_object_is_found_among_complete_ones(manage: Manage, bucket_of_mozilla: Path) -> None:
    run(manage, bucket_of_mozilla, "tecken")
    fill(bucket_of_mozilla, {f"v1/d.so/{IDS[3]}/d.so.sym": sym("d.so", IDS[3])}, datetime.now(UTC))
    since = f"{datetime.now(UTC) - DAY:%Y-%m-%d}"
    assert run(manage, bucket_of_mozilla, "tecken", "--since", since)[-1].startswith("1 stored, 0 already")
    assert run(manage, bucket_of_mozilla, "tecken")[-1].startswith("0 stored, 5 already there")


def test_upload_that_is_newer_than_the_object_stays(manage: Manage, tmp_path: Path, client: Client) -> None:
    key = f"a.so/{IDS[0]}/a.so.sym"
    run(manage, fill(tmp_path / "new", {key: sym("a.so", IDS[0]) + b"PUBLIC 20 0 newer\n"}), "breakpad")
    old = fill(tmp_path / "old", {key: sym("a.so", IDS[0])})
    assert run(manage, old, "breakpad")[-1] == "0 stored, 1 already there, 0 ignored, 0 failed"
    assert b"newer" in body(client, f"/{key}")  # type: ignore[operator]


def test_dry_run_prints_kinds_bytes_and_reasons(manage: Manage, bucket_of_mozilla: Path) -> None:
    lines = run(manage, bucket_of_mozilla, "tecken", "--dry-run")
    assert lines[0].startswith("symbol file: 3 objects, ")
    assert lines[1].startswith("pdb: 1 objects, ")
    assert lines[2] == "ignored, it is not below v1/ or try/v1/: 1 objects"
    assert lines[3].startswith("all: 4 objects, ")
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", lambda content: content),
        (".gz", gzip.compress),
        (".zst", zstandard.ZstdCompressor().compress),
        ("", zstandard.ZstdCompressor().compress),
    ],
    ids=["plain", "gz", "zst", "zstd without a suffix"],
)
def test_packed_symbol_files_are_served_as_others(
    manage: Manage, tmp_path: Path, client: Client, suffix: str, pack: object
) -> None:
    assert callable(pack)
    files = {f"a.so/{IDS[0]}/a.so.sym{suffix}": pack(sym("a.so", IDS[0]))}
    assert run(manage, fill(tmp_path / "x", files), "breakpad")[-1].startswith("1 stored")
    assert body(client, f"/a.so/{IDS[0]}/a.so.sym") == sym("a.so", IDS[0])


# Other layouts


def test_symsrv_layout_has_tiers_cabinets_and_marks(manage: Manage, tmp_path: Path, client: Client) -> None:
    content = (DATA / "unwind.pdb").read_bytes()
    root = fill(
        tmp_path / "x",
        {
            "index2.txt": b"",
            "pingme.txt": b"",
            "000Admin/server.txt": b"0000000001,add",
            f"un/unwind.pdb/{UNWIND_ID}/unwind.pd_": cabinet(content, "unwind.pdb"),
            f"un/unwind.exe/{UNWIND_CODE_ID}/unwind.exe": (DATA / "unwind.exe").read_bytes(),
            f"un/unwind.pdb/{UNWIND_ID}/refs.ptr": b"0000000001,file,/x",
            f"ot/other.pdb/{IDS[0]}/file.ptr": b"/etc/passwd",
        },
    )
    assert run(manage, root, "symsrv")[-1] == "2 stored, 0 already there, 5 ignored, 0 failed"
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == content
    assert body(client, f"/unwind.exe/{UNWIND_CODE_ID}/unwind.exe") == (DATA / "unwind.exe").read_bytes()
    assert {row.created_at for row in SymbolFile.objects.all()} == {WRITTEN}
    plan = run(manage, root, "symsrv", "--dry-run")
    assert any("--layout symstore, which follows it: 1 objects" in line for line in plan)


@pytest.mark.parametrize(
    ("layout", "path"),
    [
        ("symsrv", f"_.debug/elf-buildid-sym-{BUILD_ID}/_.debug"),
        ("symsrv", f"libnative.so/elf-buildid-{BUILD_ID}/libnative.so"),
        ("debuginfod", f"buildid/{BUILD_ID}/debuginfo"),
        ("debuginfod", f"{BUILD_ID}/executable"),
        ("buildid", f".build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}.debug"),
        ("buildid", f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"),
        ("unified", f"{BUILD_ID[:2]}/{BUILD_ID[2:]}/debuginfo"),
        ("content", "some/where/libnative.so"),
    ],
)
def test_file_without_a_key_is_found_by_its_build_id(
    manage: Manage, tmp_path: Path, client: Client, layout: str, path: str
) -> None:
    content = (DATA / "libnative.so").read_bytes()
    root = fill(tmp_path / "x", {path: gzip.compress(content)})
    assert run(manage, root, layout)[-1] == "1 stored, 0 already there, 0 ignored, 0 failed"
    assert body(client, f"/buildid/{BUILD_ID}/debuginfo") == content
    assert SymbolFile.objects.get().native_id == ELF_ID
    assert run(manage, root, layout)[-1] == "0 stored, 1 already there, 0 ignored, 0 failed"
    assert run(manage, root, layout, "--verify")[-1].startswith("1 there, 0 missing; 1 read")


def test_unified_symbol_file_is_found_by_its_module(manage: Manage, tmp_path: Path, client: Client) -> None:
    files = {
        f"{IDS[0][:2]}/{IDS[0][2:]}/breakpad": zstandard.ZstdCompressor().compress(sym("a.so", IDS[0])),
        f"{IDS[0][:2]}/{IDS[0][2:]}/meta": b"{}",
        f"{IDS[0][:2]}/{IDS[0][2:]}/sourcemap": b"{}",
    }
    assert run(manage, fill(tmp_path / "x", files), "unified")[-1].startswith(
        "1 stored, 0 already there, 2 ign"
    )
    assert body(client, f"/a.so/{IDS[0]}/a.so.sym") == sym("a.so", IDS[0])


def test_content_layout_reports_files_of_no_format(manage: Manage, tmp_path: Path) -> None:
    files = {"deep/er/a.sym.gz": gzip.compress(sym("a.so", IDS[0])), "notes.txt": b"hello"}
    error, report, status = fail(manage, fill(tmp_path / "x", files), "content")
    assert (error, status) == ("1 stored, 0 already there, 0 ignored, 1 failed", 1)
    assert report == "failed notes.txt: it is of no known format\n"


# Dates


def test_object_that_retention_would_remove_is_ignored(manage: Manage, tmp_path: Path) -> None:
    root = fill(tmp_path / "x", {f"a.so/{IDS[0]}/a.so.sym": sym("a.so", IDS[0])}, WRITTEN - 1000 * DAY)
    lines = run(manage, root, "breakpad")
    assert lines[0].startswith("ignored, it is older than keep_regular_days, 730, and would be removed today")
    assert lines[-1] == "0 stored, 0 already there, 1 ignored, 0 failed"
    assert run(manage, root, "breakpad", "--dates", "today")[-1].startswith("1 stored")
    assert SymbolFile.objects.get().created_at > datetime.now(UTC) - DAY


def test_retention_removes_an_imported_file_at_its_own_date(
    manage: Manage, bucket_of_mozilla: Path, client: Client
) -> None:
    run(manage, bucket_of_mozilla, "tecken")
    assert Retention(datetime.now(UTC)).run().files == 0
    removed = Retention(datetime.now(UTC) + 725 * DAY).run()
    assert removed.files == 4
    assert body(client, f"/a.so/{IDS[0]}/a.so.sym") == 404
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == 404
    assert not Upload.objects.exists()


# Check and report


def test_verify_after_an_import_finds_no_difference(manage: Manage, bucket_of_mozilla: Path) -> None:
    run(manage, bucket_of_mozilla, "tecken")
    line = run(manage, bucket_of_mozilla, "tecken", "--verify")[-1]
    assert line == "4 there, 0 missing; 4 read and compared, 0 different"


def test_verify_reports_missing_and_different_objects(manage: Manage, bucket_of_mozilla: Path) -> None:
    run(manage, bucket_of_mozilla, "tecken")
    SymbolFile.objects.filter(debug_file="a.so").delete()
    changed = {f"v1/b.so/{IDS[1]}/b.so.sym": gzip.compress(sym("b.so", IDS[1]) + b"PUBLIC 30 0 g\n")}
    fill(bucket_of_mozilla, changed)
    error, report, status = fail(manage, bucket_of_mozilla, "tecken", "--verify")
    assert (error, status) == ("3 there, 1 missing; 3 read and compared, 1 different", 1)
    assert f"failed v1/a.so/{IDS[0]}/a.so.sym: it is missing" in report
    assert f"b.so/{IDS[1]}/b.so.sym has other content here" in report


def test_report_has_a_line_for_each_problem(manage: Manage, bucket_of_mozilla: Path, tmp_path: Path) -> None:
    run(manage, bucket_of_mozilla, "tecken", "--report", str(tmp_path / "report"))
    (line,) = (tmp_path / "report").read_text().splitlines()
    assert json.loads(line) == {
        "path": "v0/left.txt",
        "result": "ignored",
        "reason": "it is not below v1/ or try/v1/",
    }


def test_convert_converts_the_most_requested_modules(manage: Manage, bucket_of_mozilla: Path) -> None:
    for name, debug_id, count in (("a.so", IDS[0], 3), ("b.so", IDS[1], 7)):
        MissingSymbol.objects.create(
            digest=name,
            debug_file=name,
            debug_id=debug_id,
            count=count,
            symbolications=count,
            last_seen=datetime.now(UTC),
        )
    lines = run(manage, bucket_of_mozilla, "tecken", "--convert", "1")
    assert f"b.so/{IDS[1]}: converted, requested 7 times" in lines
    assert not any(line.startswith("a.so/") for line in lines)


# Buckets


def connect(bucket: S3Bucket) -> Any:
    account = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET}
    server = {"endpoint_url": bucket.endpoint, "region_name": "us-east-1"}
    return boto3.resource("s3", **server, **account).Bucket(bucket.name)


@pytest.fixture
def s3(s3_bucket: S3Bucket, bucket_of_mozilla: Path) -> S3Bucket:
    for path in bucket_of_mozilla.rglob("*.*"):
        if path.is_file():
            encoding = {"ContentEncoding": "gzip"} if path.suffix == ".sym" else {}
            name = f"old/{path.relative_to(bucket_of_mozilla)}"
            connect(s3_bucket).put_object(Key=name, Body=path.read_bytes(), **encoding)
    return s3_bucket


def test_bucket_is_imported(manage: Manage, s3: S3Bucket, client: Client) -> None:
    line = run(manage, f"s3://{s3.name}/old", "tecken")[-1]
    assert line == "4 stored, 0 already there, 1 ignored, 0 failed"
    assert body(client, f"/a.so/{IDS[0]}/a.so.sym") == sym("a.so", IDS[0])
    line = run(manage, f"s3://{s3.name}/old", "tecken", "--verify")[-1]
    assert line == "4 there, 0 missing; 4 read and compared, 0 different"


def test_bucket_with_a_key_that_leads_elsewhere_lacks_its_directory_only(
    manage: Manage, s3: S3Bucket
) -> None:
    connect(s3).put_object(Key=f"old/v1/a.so/{IDS[4]}/../../../x.sym", Body=b"hostile")
    error, report, _ = fail(manage, f"s3://{s3.name}/old", "tecken")
    assert error == "4 stored, 0 already there, 1 ignored, 1 failed"
    assert f"failed v1/a.so/{IDS[4]}: " in report
    assert "a key cannot be listed: " in report


def test_bucket_that_is_our_storage_gets_rows_only(
    manage: Manage, s3: S3Bucket, house: Settings, client: Client
) -> None:
    house.STORAGE_URL = f"s3://{s3.name}/old"
    services.discard_all()
    assert client.get(f"/b.so/{IDS[1]}/b.so.sym").status_code == 302
    written = {entry.key: entry.last_modified for entry in connect(s3).objects.filter(Prefix="old/v1/")}
    assert run(manage, house.STORAGE_URL, "tecken")[-1] == "4 stored, 0 already there, 1 ignored, 0 failed"
    after = {entry.key: entry.last_modified for entry in connect(s3).objects.filter(Prefix="old/v1/")}
    assert after == written
    row = SymbolFile.objects.get(debug_file="unwind.pdb")
    assert (row.native_id, row.blob) == (UNWIND_ID, None)
    assert client.get(f"/try/c.so/{IDS[2]}/c.so.sym").status_code == 302
    assert "0 problems" in manage("symbols", "fsck")


# Hostile places


def test_links_pipes_and_odd_names_are_ignored(manage: Manage, tmp_path: Path) -> None:
    root = fill(tmp_path / "x", {f"a.so/{IDS[0]}/a.so.sym": sym("a.so", IDS[0])})
    secret = fill(tmp_path / "y", {"secret.sym": sym("s.so", IDS[1])}) / "secret.sym"
    (root / "b.so" / IDS[1]).mkdir(parents=True)
    (root / "b.so" / IDS[1] / "b.so.sym").symlink_to(secret)
    (root / "c.so").symlink_to(root)
    os.mkfifo(root / "a.so" / IDS[0] / "pipe.sym")
    (root / "gone").symlink_to("nowhere")
    (root / os.fsdecode(b"\xff.sym")).write_bytes(b"x")
    root.joinpath(*(["d"] * 30)).mkdir(parents=True)
    assert run(manage, root, "breakpad")[-1] == "1 stored, 0 already there, 6 ignored, 0 failed"


def test_gzip_bomb_fails_alone(manage: Manage, tmp_path: Path, house: Settings) -> None:
    bomb = gzip.compress(sym("b.so", IDS[1]) + b"\n" * (400 << 20))
    files = {f"a.so/{IDS[0]}/a.so.sym": sym("a.so", IDS[0]), f"b.so/{IDS[1]}/b.so.sym": bomb}
    error, report, _ = fail(manage, fill(tmp_path / "x", files), "breakpad")
    assert error == "1 stored, 0 already there, 0 ignored, 1 failed"
    assert "b.so.sym: symbol file is longer than" in report
    assert not SymbolFile.objects.filter(debug_file="b.so").exists()


def test_broken_gzip_fails_and_a_repaired_one_is_stored(manage: Manage, tmp_path: Path) -> None:
    key = f"a.so/{IDS[0]}/a.so.sym"
    root = fill(tmp_path / "x", {key: gzip.compress(sym("a.so", IDS[0]))[:-4]})
    assert "gzip data ends early" in fail(manage, root, "breakpad")[1]
    upload = Upload.objects.get()
    assert (upload.error, upload.completed_at) == ("1 files could not be imported", None)
    fill(root, {key: gzip.compress(sym("a.so", IDS[0]))})
    assert run(manage, root, "breakpad")[-1].startswith("1 stored")


@pytest.mark.parametrize(
    ("source", "layout", "reason", "status"),
    [
        ("https://symbols.example.com/", "breakpad", "has no list of its files", 1),
        ("ftp://example.com/x", "breakpad", "expected file:///directory", 1),
        ("s3://key:secret@bucket/x", "breakpad", "credentials and options do not belong", 1),
        ("/nowhere/at/all", "breakpad", "no such directory; run the command again", 75),
        ("s3://bucket/x", "symstore", "for a bucket use --layout symsrv", 1),
    ],
)
def test_source_that_cannot_be_imported_is_refused(
    manage: Manage, source: str, layout: str, reason: str, status: int
) -> None:
    error, _, returned = fail(manage, source, layout)
    assert reason in error
    assert "secret" not in error
    assert returned == status


def test_copy_of_a_site_without_its_native_content_is_reported(
    manage: Manage, bucket_of_mozilla: Path, tmp_path: Path, house: Settings
) -> None:
    """Another site of this kind has references: its database and bucket are copied instead."""
    run(manage, bucket_of_mozilla, "tecken")
    copy = shutil.copytree(house.STORAGE_URL.removeprefix("file://"), tmp_path / "copy")
    lines = run(manage, copy, "tecken", "--dry-run")
    assert any(line.startswith("ignored, it is not below v1/") for line in lines)
