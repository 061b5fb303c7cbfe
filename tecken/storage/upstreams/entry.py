"""Entries of SYMBOL_SOURCES: the URL of an upstream, and the rules for its files.

    https://host/prefix/                    symbol files
    symsrv+https://host/prefix/             native files in the layout of SymSrv
    symsrv+file:///directory                the same in a directory
    symsrv+s3://bucket/prefix               the same in a bucket

The layouts are those of `tecken.storage.upstreams.layouts`. Each is in any place. The rules are the fragment,
which is sent to no server: `https://host/#served=no&names=lib*&names=ld-*&platforms=linux`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, parse_qsl

from tecken.errors import without_account
from tecken.storage.place_urls import parse_place, split_url
from tecken.storage.upstreams.layouts import LAYOUTS, PLATFORM_OF
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType
from tecken.symbols.platforms import Platform, Platforms, possible_platforms

HTTP: Final = ("http", "https")
SERVED: Final[Mapping[str, bool]] = {"yes": True, "no": False}
# Microsoft's server has files of Windows, and those of .NET for all systems. It need not learn the names of
# all other modules.
MICROSOFT_NAMES: Final = (
    *("*.pdb", "*.dll", "*.exe", "*.sys", "*.ocx", "*.drv", "*.cpl", "*.scr"),
    *("libcoreclr*", "libclr*", "libhost*", "libmscor*", "libnethost*", "libsystem.*native*"),
    *("dotnet", "createdump"),
)
PRESETS: Final[Mapping[str, str]] = {
    "debian": "debuginfod+https://debuginfod.debian.net/",
    "fedora": "debuginfod+https://debuginfod.fedoraproject.org/",
    "microsoft": "symsrv+https://msdl.microsoft.com/download/symbols/#"
    + "&".join(f"names={name}" for name in MICROSOFT_NAMES),
    "mozilla": "https://symbols.mozilla.org/",
}
"""Public servers, by the names of SYMBOL_PRESETS.

Sources: Debian and Fedora, "Debuginfod" in their wikis; Microsoft, "Microsoft public symbol server"; Mozilla,
"Using the Mozilla symbol server".
"""


class UpstreamEntry(NamedTuple):
    """Upstream as an operator has set it up.

    `url` has no fragment. Without `names`, which are patterns, it has all; the same holds for `platforms`.
    """

    url: str
    is_served: bool
    names: tuple[str, ...]
    platforms: Platforms = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the entry. Raises ValueError, without credentials in its text."""
        url, _, fragment = text.partition("#")
        entry = cls(url, is_served=False, names=())
        served = entry.is_served_by_default
        names, platforms = [], set()
        for name, value in parse_qsl(fragment, keep_blank_values=True):
            if name == "names" and value:
                names.append(value.lower())
            elif name == "served" and value in SERVED:
                served = SERVED[value]
            elif name == "platforms":
                platforms |= _parse_platforms(value, url)
            else:
                expected = "expected served=yes, served=no, names=PATTERN or platforms=LIST after #"
                raise ValueError(f"{without_account(url)}: {expected}")
        return entry._replace(is_served=served, names=tuple(names), platforms=frozenset(platforms))

    @property
    def is_http(self) -> bool:
        """Return whether an HTTP server has the files."""
        return self._scheme[1] in HTTP

    @property
    def protocol(self) -> str:
        """Layout before the `+` of the scheme, "" for symbol files."""
        return self._scheme[0]

    @property
    def place_url(self) -> str:
        """URL of the HTTP server, bucket or directory."""
        return self.url.removeprefix(f"{self.protocol}+")

    def check(self) -> None:
        """Raise ValueError, without credentials in its text, for a URL that no upstream can have.

        It makes no connection, so a start can check the settings before it forks.
        """
        name = without_account(self.url)
        if self.protocol and self.protocol not in LAYOUTS:
            raise ValueError(f"{name}: expected {', '.join(LAYOUTS)} or nothing before +")
        if not self.is_http:
            parse_place(self.place_url)
            return
        parts = split_url(self.place_url)
        if not parts.hostname or parts.query or not _has_valid_port(parts):
            raise ValueError(f"{name}: expected http(s)://host/prefix/ without a query")

    @property
    def is_served_by_default(self) -> bool:
        """Return whether clients get the files of this upstream unless its entry says otherwise.

        With a password, they could read what is not public through this site. Native files are converted for
        symbolication, and would make this site a proxy for whole servers.
        """
        return not self.protocol and not (self.is_http and "@" in split_url(self.url).netloc)

    def has_name(self, debug_file: str) -> bool:
        """Return whether the upstream may have symbols of a debug file. Case does not count."""
        return not self.names or any(fnmatchcase(debug_file.lower(), pattern) for pattern in self.names)

    def has_platform(self, module: ObjectId, file_type: FileType | None = None) -> bool:
        """Return whether the upstream may have files of a module of the platforms that it may be of.

        The type of a native file tells its platform.
        """
        platform = PLATFORM_OF.get(file_type) if file_type else None
        possible = {platform} if platform else possible_platforms(*module)
        return not self.platforms or bool(self.platforms & possible)

    @property
    def _scheme(self) -> tuple[str, str]:
        protocol, _, scheme = split_url(self.url).scheme.rpartition("+")
        return protocol, scheme


def check_entry(text: str) -> None:
    """Raise ValueError, without credentials in its text, for an entry that no upstream can have."""
    UpstreamEntry.parse(text).check()


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def join_platforms(entries: Iterable[str]) -> list[str]:
    """Return the entries of a list that was split at each comma, also at those between platforms."""
    joined: list[str] = []
    names = {platform.value for platform in Platform}
    for entry in entries:
        if joined and entry in names and "platforms=" in joined[-1].partition("#")[2]:
            joined[-1] += f",{entry}"
        else:
            joined.append(entry)
    return joined


def _parse_platforms(text: str, url: str) -> set[Platform]:
    try:
        return {Platform(name) for name in text.split(",")}
    except ValueError:
        expected = ", ".join(platform.value for platform in Platform)
        raise ValueError(f"{without_account(url)}: expected some of {expected} after platforms=") from None
