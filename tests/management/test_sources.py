"""`sources from-symbolicator`: configurations of Symbolicator as SYMBOL_SOURCES."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tecken.storage.upstreams.entry import UpstreamEntry, join_platforms

HTTP: dict[str, Any] = {"id": "x", "type": "http", "url": "https://symbols.example.com/store"}
S3: dict[str, Any] = {"id": "y", "type": "s3", "bucket": "b", "prefix": "/linux/", "access_key": "A1"}


def convert(tmp_path: Path, text: str) -> tuple[str, str, str]:
    """Return the setting, the notes, and the error."""
    file, stdout, stderr = tmp_path / "config.yml", io.StringIO(), io.StringIO()
    file.write_text(text)
    error = ""
    try:
        call_command("sources", "from-symbolicator", str(file), stdout=stdout, stderr=stderr, no_color=True)
    except CommandError as caught:
        error = str(caught)
    return stdout.getvalue().strip(), stderr.getvalue(), error


def setting(tmp_path: Path, *sources: dict[str, Any]) -> str:
    value, _, error = convert(tmp_path, json.dumps({"sources": sources}))
    assert error == ""
    entries = join_platforms(value.removeprefix("SYMBOL_SOURCES=").split(","))
    for entry in entries:
        UpstreamEntry.parse(entry).check()
    return " ".join(entries)


def layout(name: str, casing: str = "default") -> dict[str, Any]:
    return {"layout": {"type": name, "casing": casing}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {**HTTP, "filters": {"filetypes": ["pe", "pdb"]}, **layout("symstore")},
            "symsrv+https://symbols.example.com/store/#platforms=windows",
        ),
        (
            HTTP,
            "symsrv+https://symbols.example.com/store/#platforms=windows "
            "buildid+https://symbols.example.com/store/ https://symbols.example.com/store/",
        ),
        ({**HTTP, "filters": {"filetypes": ["breakpad"]}}, "https://symbols.example.com/store/"),
        (
            {**HTTP, "url": "https://debuginfod.example.com/buildid/", **layout("debuginfod")},
            "debuginfod+https://debuginfod.example.com/",
        ),
        ({**S3, **layout("unified", "lowercase")}, "unified+s3://b/linux"),
        (
            {**S3, **layout("unified"), "filters": {"filetypes": ["elf_code", "elf_debug", "mach_code"]}},
            "unified+s3://b/linux#platforms=linux,macos",
        ),
        (
            {"type": "gcs", "bucket": "b", **layout("ssqp", "lowercase"), "filters": {"filetypes": ["pdb"]}},
            "symsrv+gs://b#platforms=windows",
        ),
        (
            {
                "type": "filesystem",
                "path": "/srv/my store",
                **layout("symstore_index2", "uppercase"),
                "filters": {"filetypes": ["pdb"], "path_patterns": ["*/app*.dll", "lib.pdb"]},
            },
            "symsrv+file:///srv/my%20store#names=app*.dll&names=lib.pdb&platforms=windows",
        ),
    ],
)
def test_source_becomes_entries(tmp_path: Path, source: dict[str, Any], expected: str) -> None:
    assert setting(tmp_path, source) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"id": "x", "type": "sentry", "token": "secret"}, "Sentry's API"),
        ({"id": "x", "type": "azure"}, "the type 'azure'"),
        ({**HTTP, "headers": {"authorization": "secret"}}, "headers are not sent"),
        ({**HTTP, **layout("slashsymbols")}, "the layout 'slashsymbols'"),
        ({**HTTP, **layout("symstore", "lowercase")}, "as clients spell them"),
        ({**HTTP, **layout("symstore_index2")}, "without tiers"),
        ({**HTTP, **layout("debuginfod")}, "ends in /buildid"),
        ({**S3, **layout("unified", "uppercase")}, "names in uppercase"),
        ({**HTTP, "filters": {"filetypes": ["mach_code"]}}, "directories of LLDB"),
        ({**HTTP, "filters": {"filetypes": ["sourcebundle"]}}, "none of the types"),
        ({**HTTP, "filters": {"requires_checksum": True}}, "checksums"),
        ({**HTTP, "filters": {"path_patterns": ["a&b"]}}, "a character that a rule cannot have"),
        ({**HTTP, "filters": {"path_patterns": ["a/"]}}, "has no name"),
        ({**HTTP, "url": "https://host/a,b"}, "a comma in a URL"),
        ({**HTTP, "url": "https://u:secret@host:x/"}, "expected http(s)://host/prefix/"),
        ({"id": "x", "type": "filesystem", "path": "store"}, "absolute"),
    ],
)
def test_source_without_an_entry_is_refused_with_the_reason(
    tmp_path: Path, source: dict[str, Any], reason: str
) -> None:
    value, notes, error = convert(tmp_path, json.dumps({"sources": [source]}))
    assert (value, error) == ("SYMBOL_SOURCES=", "1 of 1 sources are not in SYMBOL_SOURCES")
    assert reason in notes
    assert notes.startswith(f"refused {source['id']}: ")
    assert "secret" not in notes + error


def test_second_account_of_a_cloud_is_refused(tmp_path: Path) -> None:
    sources = [S3, {**S3, "id": "z", "access_key": "A2"}]
    value, notes, _ = convert(tmp_path, json.dumps({"sources": sources}))
    assert value.count("s3://b/linux") == 3
    assert "refused z: another source has another access_key" in notes
    assert "A2" not in notes


def test_notes_say_what_else_to_do(tmp_path: Path) -> None:
    sources = [{**S3, **layout("native"), "is_public": True}]
    _, notes, error = convert(tmp_path, json.dumps(sources))
    assert error == ""
    assert "y: set AWS_ACCESS_KEY_ID" in notes
    assert "y: its Mach-O files are not found" in notes
    assert "y: is_public has no meaning here" in notes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sources: [", "is no YAML"),
        ("bind: 0.0.0.0", "has no list `sources`"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        ("x" * (1 << 20) + "xx", "has more than"),
    ],
)
def test_file_without_sources_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in convert(tmp_path, text)[2]


def test_source_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    assert "refused source 1: it is no mapping" in convert(tmp_path, "sources: [microsoft]")[1]


def test_missing_file_is_refused() -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("sources", "from-symbolicator", "/nowhere.yml")
