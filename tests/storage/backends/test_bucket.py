"""Object storage that is missing, misnamed or unavailable, and files of killed writers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tecken.errors import AccessDenied, NotFound, Throttled, TooLarge, Unavailable
from tecken.storage.backends.bucket import Bucket, bucket_for, merge_spans
from tecken.storage.disk import STALE_SECONDS
from tecken.storage.port import FetchLimits
from tests.support.http_upstream import HttpUpstream, Reply
from tests.support.s3_server import S3Bucket

pytest_plugins = ["tests.support.upstreams"]

QUICK = partial(FetchLimits, timeout=0.05, deadline=0.1)
# Where the upstream replies, a busy machine must not turn the reply into a timeout.
GENEROUS = partial(FetchLimits, timeout=20, deadline=20)


def get(bucket: Bucket, key: str) -> bytes:
    return b"".join(bucket.chunks(bucket.get(key)))


def test_put_first_file_creates_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "storage"
    bucket = bucket_for(root.as_uri())
    with pytest.raises(NotFound):
        bucket.get("v1/a")
    bucket.delete("v1/a")
    assert not root.exists()
    bucket.put("v1/a", [b"x"])
    assert get(bucket, "v1/a") == b"x"


def test_get_from_a_missing_upstream_directory_is_could_not_ask(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="gone"):
        bucket_for((tmp_path / "gone").as_uri(), create=False).get("a")


def test_bucket_url_of_a_file_is_could_not_ask(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bucket = bucket_for((tmp_path / "file").as_uri())
    with pytest.raises(Unavailable, match="Not a directory"):
        bucket.put("a/b", [b"x"])
    with pytest.raises(Unavailable, match="Not a directory"):
        bucket.get("a/b")
    with pytest.raises(Unavailable, match="Not a directory"):
        bucket.ranges("a/b", [(0, 1)])


def test_missing_s3_bucket_is_could_not_ask(s3_bucket: S3Bucket) -> None:
    bucket = bucket_for("s3://nobody-made-this")
    with pytest.raises(Unavailable, match="no such bucket"):
        bucket.get("a")
    with pytest.raises(Unavailable, match="no such bucket"):
        bucket.ranges("a", [(0, 1)])
    with pytest.raises(Unavailable, match="no such bucket"):
        bucket.put("a", [b"x"])


def code(name: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>?</Message></Error>".encode()


REFUSALS = (
    Reply(400, code("InvalidArgument")),
    Reply(401),
    Reply(403),
    Reply(403, code("AccessDenied")),
    Reply(410),
)


@pytest.mark.parametrize("reply", REFUSALS, ids=lambda reply: str(reply.status))
def test_get_refused_by_an_upstream_bucket_raises_with_the_status(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/a"] = reply
    bucket = bucket_for("s3://bucket", GENEROUS, create=False)
    with pytest.raises(AccessDenied, match=rf"^s3://bucket: refused: {reply.status}"):
        bucket.get("a")


def test_read_denied_by_our_bucket_is_refused(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/a"] = Reply(403, code("AccessDenied"))
    bucket = bucket_for("s3://bucket", GENEROUS)
    for read in (bucket.get, bucket.head, lambda key: bucket.ranges(key, [(0, 1)])):
        with pytest.raises(AccessDenied, match="refused: 403 Forbidden"):
            read("a")


@pytest.mark.parametrize("name", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"])
def test_read_with_invalid_credentials_is_could_not_ask(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/a"] = Reply(403, code(name))
    bucket = bucket_for("s3://bucket", GENEROUS)
    for read in (bucket.get, bucket.head):
        with pytest.raises(Unavailable, match=name):
            read("a")


def test_get_status_429_is_throttled(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/a"] = Reply(429)
    with pytest.raises(Throttled):
        bucket_for("s3://bucket", GENEROUS).get("a")


@pytest.mark.parametrize("reply", [Reply(403), Reply(500), Reply(mute=True), Reply(hang_up=True)])
def test_get_from_an_unavailable_cloud_is_could_not_ask(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/range"] = reply
    bucket = bucket_for("s3://bucket", QUICK)
    with pytest.raises(Unavailable, match=r"^s3://bucket: "):
        bucket.get("range")
    with pytest.raises(Unavailable, match=r"^s3://bucket: "):
        bucket.ranges("range", [(0, 1)])


def test_get_from_a_cloud_uses_the_current_timeouts(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    upstream.script["/bucket/a"] = Reply(mute=True)
    now = FetchLimits()
    bucket = bucket_for("s3://bucket", lambda: now)
    now = QUICK()
    with pytest.raises(Unavailable, match=r"^s3://bucket: "):
        bucket.get("a")


def test_get_cut_body_is_could_not_ask(
    upstream: HttpUpstream, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
    dated = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": '"1"'}
    upstream.script["/bucket/a"] = Reply(body=b"x" * 5_000_000, headers=dated, cut=3_000_000)
    with pytest.raises(Unavailable, match=r"^s3://bucket: "):
        get(bucket_for("s3://bucket", QUICK), "a")


def test_put_too_long_name_is_refused(tmp_path: Path, s3_bucket: S3Bucket) -> None:
    for bucket in (bucket_for(tmp_path.as_uri()), bucket_for(f"s3://{s3_bucket.name}")):
        with pytest.raises(TooLarge, match="xxx"):
            bucket.put("x" * 1025, [b"x"])


def test_put_removes_old_files_of_killed_writers(tmp_path: Path) -> None:
    bucket = bucket_for(tmp_path.as_uri())
    old, young, whole = tmp_path / "[a]#1", tmp_path / "[a]#2", tmp_path / "#a"
    for file in (old, young, whole):
        file.touch()
    for file in (old, whole):
        os.utime(file, (0, time.time() - STALE_SECONDS - 1))
    bucket.put("[a]", [b"x"])
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "[a]", young, whole])


def test_put_killed_writer_leaves_no_file(tmp_path: Path) -> None:
    program = f"""
import os
from tecken.storage.backends.bucket import bucket_for
def chunks():
    yield b"x" * 10_000_000
    os.kill(os.getpid(), 9)
bucket = bucket_for({tmp_path.as_uri()!r})
bucket.put("a/b", [b"old"])
bucket.put("a/b", chunks())
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == -9
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"old"]


def test_put_without_nameless_files_replaces_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    bucket = bucket_for(tmp_path.as_uri())
    for content in (b"old", b"new"):
        bucket.put("a/b", [content])
    assert get(bucket, "a/b") == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_put_while_reading_shows_one_complete_file(tmp_path: Path) -> None:
    bucket = bucket_for(tmp_path.as_uri())
    bucket.put("a", [b"0" * 100_000])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(bucket.put, "a", [b"%d" % (n % 10) * 1000] * 100) for n in range(50)]
        while not all(write.done() for write in writes):
            assert len(set(get(bucket, "a"))) == 1
    assert [write.result() for write in writes] == [None] * 50
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_get_in_a_forked_child_raises_instead_of_hanging(tmp_path: Path) -> None:
    program = f"""
import os
from tecken.errors import Unavailable
from tecken.storage.backends.bucket import bucket_for
bucket = bucket_for({tmp_path.as_uri()!r})
bucket.put("a", [b"x"])
if os.fork() == 0:
    try:
        bucket.get("a")
    except Unavailable as told:
        print(told, flush=True)
    os._exit(0)
os.wait()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert "forked" in ran.stdout


def test_put_with_an_s3_prefix_adds_it_to_the_key(s3_bucket: S3Bucket) -> None:
    bucket_for(f"s3://{s3_bucket.name}/some/prefix/").put("v1/a", [b"x"])
    assert get(bucket_for(f"s3://{s3_bucket.name}"), "some/prefix/v1/a") == b"x"


def test_put_into_a_directory_with_special_characters(tmp_path: Path) -> None:
    bucket_for((tmp_path / "a b%20#?").as_uri()).put("k", [b"x"])
    assert (tmp_path / "a b%20#?" / "k").read_bytes() == b"x"


def test_bucket_for_other_clouds_makes_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert bucket_for("gs://bucket/prefix").name == "gs://bucket/prefix"
    assert bucket_for("az://container/prefix").name == "az://container/prefix"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/symbols",
        "file://relative/dir",
        "file:///",
        "file:///dir?x=1",
        "s3://",
        "s3:///prefix",
        "s3://key:secret@bucket/prefix",
        "s3://bucket/prefix?token=secret",
        "ftp://key:secret@host/",
        "s3://[secret@",
        "az://container-without-account",
    ],
)
def test_bucket_for_invalid_url_raises_without_credentials(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ValueError, match=": ") as told:
        bucket_for(url)
    assert "secret" not in str(told.value)


def test_merged_spans_are_covered_and_near_ones_joined() -> None:
    assert merge_spans([], 5) == []
    assert merge_spans([(20, 30), (0, 10), (2, 4), (36, 40), (15, 16)], 5) == [(0, 30), (36, 40)]
    assert merge_spans([(0, 10), (10, 20), (0, 5)], 0) == [(0, 20)]
