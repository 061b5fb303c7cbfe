from __future__ import annotations

import pytest

from tecken.symbolication.symbolicated import SourceLine, find_source


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        (
            "hg:hg.mozilla.org/releases/mozilla-beta:dom/base/File.cpp:0123abc",
            SourceLine(
                "dom/base/File.cpp",
                7,
                "https://hg.mozilla.org/releases/mozilla-beta/file/0123abc/dom/base/File.cpp#l7",
            ),
        ),
        (
            "git:github.com/rust-lang/rust:library/std/src/lib.rs:0123abc",
            SourceLine(
                "library/std/src/lib.rs",
                7,
                "https://github.com/rust-lang/rust/blob/0123abc/library/std/src/lib.rs#L7",
            ),
        ),
        (
            f"/rustc/{'5' * 40}/library/core/src/panicking.rs",
            SourceLine(
                "library/core/src/panicking.rs",
                7,
                f"https://github.com/rust-lang/rust/blob/{'5' * 40}/library/core/src/panicking.rs#L7",
            ),
        ),
        ("git:git.example.com/a/b:src/main.c:0123abc", SourceLine("src/main.c", 7)),
        ("/build/src/main.c", SourceLine("/build/src/main.c", 7)),
        ("C:\\src\\main.c", SourceLine("C:\\src\\main.c", 7)),
        ("hg:javascript:alert(1)/x:y:z", SourceLine("hg:javascript:alert(1)/x:y:z", 7)),
    ],
)
def test_find_source_links_repositories(file: str, shown: SourceLine) -> None:
    assert find_source(file, 7) == shown
