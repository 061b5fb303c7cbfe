"""Every metric of the project: nothing else imports prometheus_client."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

REQUESTS = Counter("tecken_symbolicate_requests", "Symbolication requests.", ["version", "status"])
FRAMES = Counter("tecken_symbolicate_frames", "Frames in symbolication answers.", ["version"])
RENDERED = Counter(
    "tecken_symbolicate_rendered", "Distinct frames that were not in the frame cache.", ["version"]
)
MODULES = Counter(
    "tecken_symbolicate_modules",
    "Modules that stacks refer to, once per job: found, absent, not_asked, or the name of an error.",
    ["outcome"],
)
PAGES = Counter(
    "tecken_pages", "Symbol pages read, by where they were: process, store or page_file.", ["origin"]
)
PREPARATIONS = Counter(
    "tecken_preparations",
    "Modules fetched and converted: ready, absent, malformed or unreachable.",
    ["result"],
)
PREPARATION_SECONDS = Histogram(
    "tecken_preparation_seconds",
    "Seconds from starting to fetch a symbol file until its page file was in place.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
