"""Entries of SYMBOL_SOURCES: the URL of an upstream, and the rules for its files.

    https://host/prefix/                    symbol files
    symsrv+https://host/prefix/             SymSrv
    debuginfod+https://host/prefix/         debuginfod
    file:///directory, s3://bucket/prefix   symbol files in a directory or bucket

The rules are the fragment, which is sent to no server: `https://host/#served=no&names=lib*&names=ld-*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from tecken.errors import without_account

SYMSRV: Final = "symsrv"
DEBUGINFOD: Final = "debuginfod"
NATIVE: Final = (SYMSRV, DEBUGINFOD)
HTTP: Final = ("http", "https")
SERVED: Final[Mapping[str, bool]] = {"yes": True, "no": False}
PRESETS: Final[Mapping[str, str]] = {
    "debian": "debuginfod+https://debuginfod.debian.net/",
    "fedora": "debuginfod+https://debuginfod.fedoraproject.org/",
    "microsoft": "symsrv+https://msdl.microsoft.com/download/symbols/",
    "mozilla": "https://symbols.mozilla.org/",
}
"""Public servers, by the names of SYMBOL_PRESETS.

Sources: Debian and Fedora, "Debuginfod" in their wikis; Microsoft, "Microsoft public symbol server"; Mozilla,
"Using the Mozilla symbol server".
"""


class UpstreamEntry(NamedTuple):
    """Upstream as an operator has set it up. `url` has no fragment; `names` are patterns, none for all."""

    url: str
    is_served: bool
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the entry. Raises ValueError, without credentials in its text."""
        url, _, fragment = text.partition("#")
        entry = cls(url, is_served=False, names=())
        served = entry.is_served_by_default
        names = []
        for name, value in parse_qsl(fragment, keep_blank_values=True):
            if name == "names" and value:
                names.append(value.lower())
            elif name == "served" and value in SERVED:
                served = SERVED[value]
            else:
                expected = "expected served=yes, served=no or names=PATTERN after #"
                raise ValueError(f"{without_account(url)}: {expected}")
        if served and entry.protocol in NATIVE:
            raise ValueError(f"{without_account(url)}: native files are for symbolication only")
        return entry._replace(is_served=served, names=tuple(names))

    @property
    def is_http(self) -> bool:
        """Return whether an HTTP server has the files."""
        return self._scheme[1] in HTTP and self.protocol in ("", *NATIVE)

    @property
    def protocol(self) -> str:
        """Protocol before the `+` of the scheme, "" for symbol files."""
        return self._scheme[0]

    @property
    def http_url(self) -> str:
        """URL of the HTTP server."""
        return self.url.removeprefix(f"{self.protocol}+")

    @property
    def is_served_by_default(self) -> bool:
        """Return whether clients get the files of this upstream unless its entry says otherwise.

        With a password, they could read what is not public through this site. Native files are converted for
        symbolication, and would make this site a proxy for whole servers.
        """
        return not self.protocol and not (self.is_http and "@" in urlsplit(self.url).netloc)

    def has_name(self, debug_file: str) -> bool:
        """Return whether the upstream may have symbols of a debug file. Case does not count."""
        return not self.names or any(fnmatchcase(debug_file.lower(), pattern) for pattern in self.names)

    @property
    def _scheme(self) -> tuple[str, str]:
        protocol, _, scheme = urlsplit(self.url).scheme.rpartition("+")
        return protocol, scheme
