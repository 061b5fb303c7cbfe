from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.symbols.source_paths import clean
from tests.oracle.symcache import Oracle

PIECES = [
    "/",
    "\\",
    ".",
    "..",
    "a",
    "bc",
    "C:",
    "x:",
    "<",
    ">",
    "<stdin>",
    ":",
    "é",
    " ",
    "hg:hg.mozilla.org",
]


def full_paths(paths: list[str]) -> list[str]:
    """Return the paths that the `symbolic` library gives for a function in each file."""
    records = ["MODULE Linux x86_64 000000000000000000000000000000000 a"]
    records += [f"FILE {i} {path}" for i, path in enumerate(paths)]
    for i in range(len(paths)):
        records += [f"FUNC {i:x} 1 0 f", f"{i:x} 1 1 {i}"]
    oracle = Oracle("\n".join(records).encode())
    frames = [oracle.frame(i) for i in range(len(paths))]
    return [frame.file for frame in frames if frame]


@given(
    st.lists(
        st.lists(st.sampled_from(PIECES), max_size=9).map("".join).map(str.strip), min_size=1, max_size=40
    )
)
@settings(deadline=None)
def test_clean_generated_paths_agree_with_symbolic(paths: list[str]) -> None:
    assert list(map(clean, paths)) == full_paths(paths)


@pytest.mark.parametrize(
    "path",
    [
        "hg:hg.mozilla.org/mozilla-central:toolkit/xre/nsAppRunner.cpp:0123456789ab",
        "git:github.com/rust-lang/rust:library/std/src/rt.rs:5eb3f32",
        "s3:gecko-generated-sources:d1ce/ipc/ipdl/PContent.cpp:",
        "/build/glibc-2.36/csu/libc-start.c",
        "a.c",
        "",
    ],
)
def test_clean_plain_path_is_unchanged(path: str) -> None:
    assert clean(path) == path


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/a/./b/../c.c", "/a/c.c"),
        ("C:/src\\x/..\\y.cpp", "C:\\src\\y.cpp"),
        ("\\\\host\\share\\a.c", "\\\\host\\share\\a.c"),
        ("/build/<stdin>", "<stdin>"),
        ("/a//b.c", "/a/b.c"),
        ("/a//b/c.c", "/a//b/c.c"),
        ("/foo/../../b", "../b"),
        ("/a/../b.c", "b.c"),
    ],
)
def test_clean_unusual_path_agrees_with_symbolic(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned
    assert full_paths([path]) == [cleaned]
