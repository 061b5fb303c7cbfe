"""Debug file names that are odd and legal."""

from __future__ import annotations

ODD_NAMES = (
    "a b.so",
    " lead and trail ",
    "[vdso]",
    "{972ce4c6-7e08-4474-a285-3208198ce6fd}.xpi",
    "libc~1.so",
    "<unknown>",
    "日本語😀.pdb",
    "e\u0301.so",  # not the same name as with a precomposed é
    "50%25.so",
    "100%",
    "%2e%2e",
    "a+b.pdb",
    "a..b",
    "..a",
    "a..",
    "...",
    "x?y=1&z#frag",
    "C:thing.pdb",
    "quote\"and'.so",
    "name#12",
    "*|^`!@$(),;=",
)
