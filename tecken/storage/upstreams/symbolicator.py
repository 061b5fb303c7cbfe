"""Sources of Symbolicator's configuration as entries of SYMBOL_SOURCES.

A source has one layout for all kinds of files, and an entry here has one for each kind, so one source may
become several entries. A source that would be asked for other files than before is refused with the reason.

Source: getsentry/symbolicator, docs/api/index.md and docs/advanced/symbol-server-compatibility.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tecken.storage.upstreams.entry import check_entry
from tecken.symbols.layouts import PLAIN
from tecken.symbols.platforms import Platform

WINDOWS: Final = ("pe", "pdb", "portablepdb")
LINUX: Final = ("elf_code", "elf_debug")
MACOS: Final = ("mach_code", "mach_debug")
PLATFORMS: Final = {Platform.WINDOWS: WINDOWS, Platform.LINUX: LINUX, Platform.MACOS: MACOS}
TYPES: Final = (*WINDOWS, *LINUX, *MACOS, PLAIN)
SYMSTORES: Final = ("symstore", "symstore_index2", "ssqp")
CASINGS: Final = ("default", "lowercase")
CREDENTIALS: Final = {
    "s3": "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; for another server AWS_ENDPOINT_URL",
    "gcs": "set GOOGLE_SERVICE_ACCOUNT to the file of its key",
}


class RefusedSource(Exception):
    """Source that cannot be an entry. The text has the reason, and no secret."""


class ConvertedSource(NamedTuple):
    """Entries of one source, and what its operator has to do besides; `refusal` if there are none."""

    name: str
    entries: Sequence[str] = ()
    notes: Sequence[str] = ()
    refusal: str = ""


def convert_sources(sources: Sequence[object]) -> Iterator[ConvertedSource]:
    """Yield the result for each source, in their order."""
    accounts: dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        name = f"source {number}"
        try:
            if not isinstance(source, Mapping):
                raise RefusedSource("it is no mapping")  # noqa: TRY301 - one place reports all reasons
            name = str(source.get("id", name))
            _check_account(source, accounts)
            entries = list(_convert(source))
            for entry in entries:
                _check(entry)
            yield ConvertedSource(name, entries, list(_find_notes(source)))
        except RefusedSource as error:
            yield ConvertedSource(name, refusal=str(error))


def _check(entry: str) -> None:
    if "," in entry.partition("#")[0]:
        raise RefusedSource("a comma in a URL would end the entry: write it as %2C")
    try:
        check_entry(entry)
    except ValueError as error:
        raise RefusedSource(str(error)) from error


def _check_account(source: Mapping[str, Any], accounts: dict[str, str]) -> None:
    """Raise RefusedSource for a second account of one cloud: the environment has one."""
    for field in ("access_key", "client_email"):
        key = str(source.get(field) or "")
        if key and accounts.setdefault(field, key) != key:
            raise RefusedSource(f"another source has another {field}: the environment has one account")


def _convert(source: Mapping[str, Any]) -> Iterator[str]:
    place = _place(source)
    layout, types, names = _layout(source, place), _types(source), _names(source)
    native = [name for name in types if name != PLAIN]
    if layout == "debuginfod":
        if not place.rstrip("/").endswith("/buildid"):
            raise RefusedSource("a URL of debuginfod ends in /buildid, which is not part of an entry")
        yield _entry("debuginfod", place.rstrip("/").removesuffix("buildid"), names)
    elif layout == "unified":
        yield _entry("unified", place, [*names, *_platforms(native)])
    elif layout in SYMSTORES:
        if native:
            yield _entry("symsrv", place, [*names, *_platforms(native)])
        if PLAIN in types and layout != "symstore_index2":
            yield _entry("", place, names)
    else:
        yield from _convert_native(place, types, names)


def _convert_native(place: str, types: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    if set(WINDOWS) & set(types):
        yield _entry("symsrv", place, [*names, *_platforms(WINDOWS)])
    if set(LINUX) & set(types):
        yield _entry("buildid", place, names)
    if PLAIN in types:
        yield _entry("", place, names)
    if set(types) <= set(MACOS):
        raise RefusedSource("directories of LLDB (XXXX/XXXX/...) are not read: sort the files with symsorter")


def _entry(layout: str, place: str, rules: Sequence[str]) -> str:
    url = f"{layout}+{place}" if layout else place
    return f"{url}#{'&'.join(rules)}" if rules else url


def _place(source: Mapping[str, Any]) -> str:
    kind = source.get("type")
    if kind == "http":
        if source.get("headers"):
            raise RefusedSource("headers are not sent to upstreams; an account can be part of the URL")
        return f"{str(source.get('url', '')).rstrip('/')}/"
    if kind == "filesystem":
        path = Path(str(source.get("path", "")))
        if not path.is_absolute():
            raise RefusedSource("the path of a directory is absolute in an entry")
        return path.as_uri()
    if kind in CREDENTIALS:
        scheme = {"s3": "s3", "gcs": "gs"}[kind]
        prefix = str(source.get("prefix") or "").strip("/")
        return f"{scheme}://{source.get('bucket', '')}/{prefix}".rstrip("/")
    if kind == "sentry":
        raise RefusedSource("Sentry's API for debug files is not known here: import the files instead")
    raise RefusedSource(f"sources of the type {str(kind)[:40]!r} are not known here")


def _layout(source: Mapping[str, Any], place: str) -> str:
    options = source.get("layout") or {}
    layout, casing = options.get("type", "native"), options.get("casing", "default")
    if layout not in (*SYMSTORES, "native", "unified", "debuginfod"):
        raise RefusedSource(f"the layout {str(layout)[:40]!r} is not known here")
    is_directory = place.startswith("file:")
    if casing not in CASINGS and not is_directory:
        raise RefusedSource(f"names in {str(casing)[:40]} are not requested: import the files")
    is_http, has_names = place.startswith("http"), layout in (*SYMSTORES, "native")
    if is_http and has_names and (casing == "lowercase" or layout == "ssqp"):
        raise RefusedSource(
            "a web server is asked for names as clients spell them: let it ignore case, and remove the casing"
        )
    if is_http and layout == "symstore_index2":
        raise RefusedSource("a web server is asked for names without tiers: let it add them")
    return str(layout)


def _types(source: Mapping[str, Any]) -> list[str]:
    """Return the types of files that the source may have, without those that no upstream is asked for."""
    chosen = (source.get("filters") or {}).get("filetypes") or TYPES
    types = [name for name in TYPES if name in chosen]
    if not types:
        raise RefusedSource("it has none of the types of files that upstreams are asked for")
    return types


def _names(source: Mapping[str, Any]) -> list[str]:
    filters = source.get("filters") or {}
    if filters.get("requires_checksum"):
        raise RefusedSource("checksums are not sent to upstreams, and this server needs them")
    patterns = [str(pattern) for pattern in filters.get("path_patterns") or ()]
    if odd := next((pattern for pattern in patterns if set(pattern) & set("&#%,+")), None):
        raise RefusedSource(f"the pattern {odd[:80]!r} has a character that a rule cannot have")
    # Patterns there are of whole paths of images, and rules here of the name alone.
    names = [pattern.replace("\\", "/").rpartition("/")[2] for pattern in patterns]
    if any(not name for name in names):
        raise RefusedSource("a pattern that ends in / has no name")
    return [f"names={name}" for name in names]


def _platforms(types: Sequence[str]) -> list[str]:
    found = [platform.value for platform, members in PLATFORMS.items() if set(members) & set(types)]
    return [] if len(found) in (0, len(PLATFORMS)) else [f"platforms={','.join(found)}"]


def _find_notes(source: Mapping[str, Any]) -> Iterator[str]:
    if text := CREDENTIALS.get(str(source.get("type"))):
        yield text
    layout, types = (source.get("layout") or {}).get("type", "native"), _types(source)
    if layout == "native" and set(MACOS) & set(types):
        yield "its Mach-O files are not found: directories of LLDB (XXXX/XXXX/...) are not read"
    if layout == "symstore_index2" and PLAIN in types:
        yield "symbol files in tiers are not found: import them"
    if source.get("is_public"):
        yield "is_public has no meaning here: docs/sources.md, Policy, says which files clients get"
    if any("/" in pattern or "\\" in pattern for pattern in _filters(source)):
        yield "a pattern of paths became one of names: it may match more modules"


def _filters(source: Mapping[str, Any]) -> list[str]:
    patterns = (source.get("filters") or {}).get("path_patterns") or ()
    return [str(pattern).removeprefix("**/").removeprefix("*/") for pattern in patterns]
