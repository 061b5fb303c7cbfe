from __future__ import annotations

import pytest
from django.http import QueryDict

from tecken.download.protocols.debuginfod import (
    parse,
    parse_source,
    parse_source_with_try,
    parse_with_try,
)
from tecken.errors import InvalidInput
from tecken.storage.port import BuildIdRequest, ElfPart, SourceRequest

ID = "2170740035ee5228259b8189628eb7ac26e4b705"


@pytest.mark.parametrize(
    ("artifact", "request_"),
    [
        ("debuginfo", BuildIdRequest(ID, ElfPart.DEBUG_INFO)),
        ("executable", BuildIdRequest(ID, ElfPart.EXECUTABLE)),
        ("section/.debug_line", BuildIdRequest(ID, ElfPart.DEBUG_INFO, ".debug_line")),
        ("section/a/b", BuildIdRequest(ID, ElfPart.DEBUG_INFO, "a/b")),
    ],
)
def test_parse_artifact_and_build_id_in_any_case(artifact: str, request_: BuildIdRequest) -> None:
    assert parse(QueryDict(), ID, artifact) == request_
    assert parse(QueryDict(), ID.upper(), artifact) == request_


def test_parse_below_try_includes_try_files() -> None:
    assert parse_with_try(QueryDict(), ID, "executable") == BuildIdRequest(
        ID, ElfPart.EXECUTABLE, with_try=True
    )
    with pytest.raises(InvalidInput):
        parse_with_try(QueryDict(), ID, "nonsense")


@pytest.mark.parametrize("build_id", ["", "ab", "abc", "xyzw", "a" * 130, "ab cd", "é1"])
def test_parse_malformed_build_id_is_refused(build_id: str) -> None:
    with pytest.raises(InvalidInput, match="a build id is 2 to 64 bytes"):
        parse(QueryDict(), build_id, "debuginfo")


@pytest.mark.parametrize(
    "artifact", ["", "debug", "debuginfo/", "section", "section/", "section/a b", f"section/{'a' * 256}"]
)
def test_parse_unknown_artifact_is_refused(artifact: str) -> None:
    with pytest.raises(InvalidInput, match="section/<name>"):
        parse(QueryDict(), ID, artifact)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("usr/src/main.c", "/usr/src/main.c"),
        ("../../etc/passwd", "/../../etc/passwd"),
        ("C:\\src\\main.c", "C:\\src\\main.c"),
        ("C:/src/main.c", "C:/src/main.c"),
        ("C:", "/C:"),
    ],
)
def test_parse_source_path_is_absolute(file: str, path: str) -> None:
    assert parse_source(QueryDict(), ID.upper(), file) == SourceRequest(ID, path)
    assert parse_source_with_try(QueryDict(), ID, file) == SourceRequest(ID, path, with_try=True)


def test_parse_source_with_a_malformed_build_id_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a build id is 2 to 64 bytes"):
        parse_source(QueryDict(), "abc", "main.c")
