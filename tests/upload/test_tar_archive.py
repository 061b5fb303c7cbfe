"""The index of tar archives and Debian packages, on archives that are changed at random."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import pytest

from tecken.errors import InvalidInput, TooLarge
from tecken.upload.archive import ArchiveLimits
from tecken.upload.tar_archive import (
    MAX_EXTENDED_BYTES,
    FileSlice,
    find_package_data,
    is_tar,
    list_tar,
    parse_pax,
)
from tests.upload.tars import entry, header, package, tarred

LIMITS = ArchiveLimits(unpacked=1 << 20, member=1 << 20, members=100, ratio=100)
FILES: list[tuple[str | tarfile.TarInfo, bytes]] = [
    ("a/x.so", b"x" * 700),
    ("n" * 120, b"long"),
    (entry("link", tarfile.SYMTYPE, "t" * 120), b""),
    (entry("dir", tarfile.DIRTYPE), b""),
    ("last", b""),
]
ARCHIVES = [tarred(FILES), tarred(FILES, tarfile.GNU_FORMAT), package(tarred(FILES), b"data.tar")]


@contextmanager
def on_disk(content: bytes) -> Iterator[FileSlice]:
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield FileSlice(cast(BinaryIO, file), 0, len(content))


def members(content: bytes) -> dict[str, bytes]:
    with on_disk(content) as file:
        found = list_tar(find_package_data(file) if content.startswith(b"!<arch>") else file, LIMITS)
        return {member.name: b"".join(member.read()) for member in found.members}


@pytest.mark.parametrize("archive", ARCHIVES, ids=["pax", "gnu", "deb"])
def test_list_tar_regular_files_have_their_names_and_contents(archive: bytes) -> None:
    assert members(archive) == {name: content for name, content in FILES if isinstance(name, str)}


@pytest.mark.parametrize("archive", ARCHIVES, ids=["pax", "gnu", "deb"])
def test_list_tar_changed_archive_is_refused_at_worst(archive: bytes) -> None:
    random = Random(len(archive))
    for _ in range(400):
        content = bytearray(archive)
        for _ in range(random.randint(1, 4)):
            # Most changes are in the fields of a header.
            place = random.randrange(0, len(content), 512) + random.randrange(156)
            content[min(place, len(content) - 1)] = random.choice((0, 0x20, 0x37, 0x80, 0xFF))
        end = random.choice((len(content), random.randrange(len(content))))
        try:
            found = members(bytes(content[:end]))
        except (InvalidInput, TooLarge):
            continue
        assert sum(map(len, found.values())) <= len(archive)


def test_list_tar_changed_header_with_a_valid_checksum_is_refused_at_worst() -> None:
    random = Random(7)
    for _ in range(1000):
        block = bytearray(tarfile.TarInfo("x.so").tobuf(tarfile.GNU_FORMAT))
        for place in random.sample(range(512), random.randint(1, 20)):
            block[place] = random.randrange(256)
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
        try:
            members(bytes(block) + tarred(FILES))
        except (InvalidInput, TooLarge):
            continue


def test_list_tar_headers_alone_take_bounded_time() -> None:
    """`tarfile` needs quadratic time for digits in an extended header, and recursion for many of them."""
    digits = header("p", MAX_EXTENDED_BYTES, tarfile.XHDTYPE) + b"1" * MAX_EXTENDED_BYTES
    many = header("p", 0, tarfile.XHDTYPE) * 5000
    started = time.process_time()
    for content in (digits * 20, many, header("x", -(1 << 40)) * 9):
        with pytest.raises((InvalidInput, TooLarge)):
            members(content)
    assert time.process_time() - started < 10


def test_parse_pax_only_fields_in_use_are_kept() -> None:
    fields = b"12 path=a=b\n" + b"10 mtime=1\n".replace(b"10", b"11") + b"9 size=7\n"
    assert parse_pax(fields) == {"path": "a=b", "size": "7"}


@pytest.mark.parametrize("content", [b"", bytes(512), b"text" * 200, b"\x7fELF" + bytes(600)])
def test_is_tar_other_content_is_none(content: bytes) -> None:
    assert not is_tar(content)
