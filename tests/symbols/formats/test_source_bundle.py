"""Source bundles: identification, the index, and archives that are refused."""

from __future__ import annotations

import struct
import zipfile
from random import Random
from typing import Any

import pytest
from symbolic.debuginfo import Archive

from tecken.errors import Malformed
from tecken.symbols.formats import identify
from tecken.symbols.formats.base import Kind
from tecken.symbols.formats.source_bundle import HEADER, MAX_FILE_BYTES, read_entries
from tests.support.source_bundles import TEXTS, bundle, bundle_of, manifest
from tests.symbols.formats.test_formats import reader

SENTRY_ID = "06f93af5-832b-3bbc-6dfd-27a46912605f"
DEBUG_ID = "06F93AF5832B3BBC6DFD27A46912605F"


@pytest.mark.parametrize(
    ("written", "debug_id"),
    [(SENTRY_ID, DEBUG_ID.lower()), (f"{SENTRY_ID}-a", f"{DEBUG_ID.lower()}a"), (f"{DEBUG_ID}1",) * 2],
)
def test_bundle_has_the_object_of_its_manifest(written: str, debug_id: str) -> None:
    (info,) = identify(reader(bundle(written, name="C:\\out\\app.pdb", code_id="5e2d")))
    assert (info.kind, info.format, info.arch) == (Kind.SOURCES, "source bundle", "x86_64")
    assert (info.debug_file, info.debug_id, info.code_id) == ("app.pdb", debug_id, "5e2d")


def test_symbolic_reads_the_same_object() -> None:
    (theirs,) = Archive.from_bytes(bundle(SENTRY_ID)).iter_objects()
    (ours,) = identify(reader(bundle(SENTRY_ID)))
    assert theirs.kind == "src"
    assert theirs.debug_id.replace("-", "") == ours.debug_id


def test_entries_have_the_place_of_each_member() -> None:
    content = bundle(SENTRY_ID, compression=zipfile.ZIP_STORED)
    entries = read_entries(reader(content))
    assert [(entry.path, entry.size) for entry in entries] == [(path, len(TEXTS[path])) for path in TEXTS]
    for entry in entries:
        assert content[entry.start : entry.start + 4] == b"PK\x03\x04"
        assert TEXTS[entry.path] in content[entry.start : entry.end]


def test_entries_of_a_zip_with_the_header_put_in_front_are_the_same_files() -> None:
    plain = bundle(SENTRY_ID, header=b"")
    moved = [
        entry._replace(start=entry.start + 8, end=entry.end + 8) for entry in read_entries(reader(plain))
    ]
    assert read_entries(reader(HEADER + plain)) == moved


def test_paths_are_kept_as_clients_request_them() -> None:
    paths = ["/src//a/../b/./x.c", "C:\\src\\..\\x.c", "../../etc/passwd", "/../../etc/passwd"]
    entries = read_entries(reader(bundle(SENTRY_ID, dict.fromkeys(paths, b"x"))))
    assert [entry.path for entry in entries][:3] == ["/src/b/x.c", "C:\\x.c", "../../etc/passwd"]
    assert all(entry.size == 1 for entry in entries)


def test_files_of_other_types_and_without_a_path_are_left_out() -> None:
    files: dict[str, Any] = {
        "map": {"type": "source_map", "path": "/a.map"},
        "no path": {"type": "source"},
        "number": {"type": "source", "path": 1},
        "nul": {"type": "source", "path": "/a\0b"},
        "half": {"type": "source", "path": "/a\ud800"},
        "text": "x",
        "good": {"path": "/good.c"},
    }
    content = bundle_of(manifest(SENTRY_ID, {}) | {"files": files}, dict.fromkeys(files, b"text"))
    assert [entry.path for entry in read_entries(reader(content))] == ["/good.c"]


ONE = {"a": "/a.c"}
REFUSED = {
    "no zip": HEADER + b"x" * 100,
    "nothing": HEADER,
    "no manifest": bundle(SENTRY_ID).replace(b"manifest.json", b"manifest.text"),
    "no JSON": bundle_of(b"{", {"a": b"x"}),
    "nested JSON": bundle_of(b"[" * 100_000, {"a": b"x"}),
    "no object": bundle_of([], {"a": b"x"}),
    "files are a list": bundle_of(manifest(SENTRY_ID, ONE) | {"files": [1]}, {"a": b"x"}),
    "no debug id": bundle_of(manifest("", ONE), {"a": b"x"}),
    "other debug id": bundle_of(manifest("../../x", ONE), {"a": b"x"}),
    "no files": bundle_of(manifest(SENTRY_ID, {}), {"a": b"x"}),
    "absent member": bundle_of(manifest(SENTRY_ID, ONE), {"b": b"x"}),
    "long path": bundle(SENTRY_ID, {"/" + "ä" * 600: b"x"}),
    "large file": bundle(SENTRY_ID, {"/a": bytes(MAX_FILE_BYTES + 1)}),
    "many files": bundle_of(manifest(SENTRY_ID, {str(n): f"/{n}" for n in range(32_769)}), {}),
    "large manifest": bundle_of(manifest(SENTRY_ID, ONE) | {"x": "x" * (8 << 20)}, {"a": b"x"}),
    "other compression": bundle(SENTRY_ID, compression=zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("why", REFUSED)
def test_bundle_that_cannot_be_read_is_malformed(why: str) -> None:
    with pytest.raises(Malformed):
        identify(reader(REFUSED[why]))


def test_members_that_overlap_are_malformed() -> None:
    content = bytearray(bundle(SENTRY_ID, {"/a": b"a" * 9, "/b": b"b" * 9}))
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    # Both entries of the directory have the place of the first member: a bomb of the kind `zbsm.zip` is.
    struct.pack_into("<L", content, second + 42, len(HEADER))
    with pytest.raises(Malformed, match="overlap"):
        identify(reader(bytes(content)))


def test_encrypted_member_is_malformed() -> None:
    content = bytearray(bundle(SENTRY_ID))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Malformed, match="encrypted"):
        identify(reader(bytes(content)))


@pytest.mark.parametrize("why", ["no manifest", "no files", "no debug id", "no JSON"])
def test_zip_without_the_header_that_is_no_bundle_is_of_no_format(why: str) -> None:
    assert identify(reader(REFUSED[why][len(HEADER) :])) == ()


def test_damaged_bundles_raise_malformed_and_nothing_else() -> None:
    random = Random(14)
    good = bundle(SENTRY_ID, {f"/{number}.c": b"text" * number for number in range(20)})
    for _ in range(1500):
        content = bytearray(good[: random.randrange(60, len(good))] if random.random() < 0.2 else good)
        for _ in range(random.randrange(1, 6)):
            content[random.randrange(8, len(content))] = random.randrange(256)
        try:
            identify(reader(bytes(content)))
        except Malformed:
            continue
