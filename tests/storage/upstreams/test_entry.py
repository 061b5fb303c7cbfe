"""Entries of SYMBOL_SOURCES, and the public servers of SYMBOL_PRESETS."""

from __future__ import annotations

import pytest
from environs.exceptions import EnvValidationError
from pytest_django import Settings

from tecken import services
from tecken.errors import NotAsked, SourceDisabled
from tecken.storage import services as storage_services
from tecken.storage.backends.memory import MemorySymbols
from tecken.storage.source_chain import SwitchableSource
from tecken.storage.upstreams.entry import PRESETS, UpstreamEntry, join_platforms
from tecken.storage.upstreams.native_upstream import NativeUpstream
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.symbols.ids import ObjectId
from tests.test_settings import load


@pytest.mark.parametrize(
    ("text", "protocol", "is_served"),
    [
        ("https://host/prefix/", "", True),
        ("file:///directory", "", True),
        ("s3://bucket/prefix", "", True),
        ("https://user:secret@host/", "", False),
        ("https://user@host/", "", False),
        ("symsrv+https://host/", "symsrv", False),
        ("debuginfod+http://host/", "debuginfod", False),
        ("https://host/#served=no", "", False),
        ("https://user:secret@host/#served=yes", "", True),
        ("symsrv+https://host/#served=no", "symsrv", False),
        ("symsrv+https://host/#served=yes", "symsrv", True),
        ("unified+file:///directory", "unified", False),
        ("buildid+file:///usr/lib/debug#served=yes", "buildid", True),
    ],
)
def test_entry_policy_follows_from_the_url_and_its_rules(text: str, protocol: str, is_served: bool) -> None:
    entry = UpstreamEntry.parse(text)
    assert (entry.protocol, entry.is_served) == (protocol, is_served)
    assert entry.url == text.partition("#")[0]
    assert entry.place_url == entry.url.removeprefix(f"{protocol}+")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://user:secret@host/#served=maybe", "expected served=yes"),
        ("https://user:secret@host/#served", "expected served=yes"),
        ("https://user:secret@host/#names=", "expected served=yes"),
        ("https://user:secret@host/#policy=x", "expected served=yes"),
        ("https://user:secret@host/#platforms=windows,beos", "windows, linux, macos, wasm after"),
        ("https://user:secret@host/#platforms=", "windows, linux, macos, wasm after"),
    ],
)
def test_entry_with_other_rules_is_refused_without_credentials(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        UpstreamEntry.parse(text)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        ("", "anything", True),
        ("#names=lib*.so*&names=ld-*", "libc.so.6", True),
        ("#names=lib*.so*&names=ld-*", "ld-linux.so.2", True),
        ("#names=lib*.so*&names=ld-*", "xul.pdb", False),
        ("#names=*.PDB", "XUL.pdb", True),
        ("#served=no&names=*.pdb", "libc.so.6", False),
    ],
)
def test_entry_names_are_patterns(rules: str, name: str, expected: bool) -> None:
    assert UpstreamEntry.parse(f"https://host/{rules}").has_name(name) is expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("", "windows linux macos"),
        ("#platforms=windows", "windows"),
        ("#platforms=linux,macos", "linux macos"),
        ("#platforms=linux&platforms=windows", "windows linux"),
        ("#platforms=wasm", ""),
    ],
)
def test_entry_platforms_are_those_of_the_modules_asked_for(rules: str, expected: str) -> None:
    modules = {
        "windows": ObjectId("xul.pdb", "A" * 33),
        "linux": ObjectId("libc.so.6", "A" * 32 + "0"),
        "macos": ObjectId("libSystem.dylib", "A" * 32 + "0"),
    }
    entry = UpstreamEntry.parse(f"https://host/{rules}")
    assert " ".join(name for name, module in modules.items() if entry.has_platform(module)) == expected


def test_platforms_may_have_commas_between_them() -> None:
    entries = ["https://a/#platforms=windows", "linux", "https://b/#names=x", "wasm", "linux", "file:///c"]
    joined = ["https://a/#platforms=windows,linux", "https://b/#names=x", "wasm", "linux", "file:///c"]
    assert join_platforms(entries) == joined
    assert join_platforms(["linux"]) == ["linux"]


def test_source_is_not_asked_for_other_names() -> None:
    module = ObjectId("libc.so.6", "A" * 33)
    source = SwitchableSource(MemorySymbols({module: b"text"}), "file:///x#names=*.pdb", lambda: ())
    with pytest.raises(NotAsked, match="set up for other names"), source.open(module):
        pytest.fail("opened")
    other = SwitchableSource(MemorySymbols({module: b"text"}), "file:///x#platforms=macos", lambda: ())
    with pytest.raises(NotAsked, match="set up for other platforms"), other.open(module):
        pytest.fail("opened")
    off = SwitchableSource(MemorySymbols(), "file:///x#names=*.pdb", lambda: ("file:///x",))
    with pytest.raises(SourceDisabled), off.open(module):
        pytest.fail("opened")


def test_upstream_of_a_scheme_has_its_kind_and_name() -> None:
    kinds = {
        "https://host/": (SymbolFileUpstream, "https://host/"),
        "file:///directory": (SymbolFileUpstream, "file:///directory"),
        "symsrv+https://user:secret@host/x": (NativeUpstream, "symsrv+https://host/x/"),
        "debuginfod+https://host/#names=lib*": (NativeUpstream, "debuginfod+https://host/"),
        "symsrv+file:///directory": (NativeUpstream, "symsrv+file:///directory"),
        "buildid+file:///usr/lib/debug": (NativeUpstream, "buildid+file:///usr/lib/debug"),
        "unified+s3://bucket/prefix": (NativeUpstream, "unified+s3://bucket/prefix"),
    }
    for url, (kind, name) in kinds.items():
        found = storage_services.upstream_for(url)
        assert (type(found), found.name) == (kind, name)


@pytest.mark.parametrize("url", ["gopher+https://host/", "symsrv+file:x", "symsrv://host/", "+https://h/"])
def test_upstream_of_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        storage_services.upstream_for(url)


def test_presets_come_after_the_sources(settings: Settings) -> None:
    settings.SYMBOL_SOURCES = ["https://first.example/"]
    settings.SYMBOL_PRESETS = [*PRESETS]
    services.discard_all()
    found = storage_services.upstreams()
    public = [entry.partition("#")[0] for entry in PRESETS.values()]
    assert [source.name for source in found] == ["https://first.example/", *public]
    assert [source.is_served for source in found] == [True, False, False, False, True]
    services.discard_all()


def test_presets_of_the_setting_are_those_that_exist() -> None:
    assert load(SYMBOL_PRESETS=",".join(PRESETS))["SYMBOL_PRESETS"] == [*PRESETS]
    with pytest.raises(EnvValidationError, match="SYMBOL_PRESETS"):
        load(SYMBOL_PRESETS="debian,other")
