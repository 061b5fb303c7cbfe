"""The registry: every option that an operator may change while the site runs, with its default.

A default is code: it is never written anywhere, and a new one is in force wherever nobody has set a value.
docs/runtime-configuration.md lists them all.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tecken.errors import BadOption
from tecken.limits.port import Without
from tecken.runtimeconfig.option import (
    LONGEST_SHOWN,
    Bytes,
    Frames,
    Names,
    Option,
    Requests,
    Seconds,
    Uploads,
    catalogue,
    cut,
    group,
)

MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
symbolication = group("Symbolication")
memory = group("Memory of a process")
lifetimes = group("How long answers are remembered")
sources = group("Sources")
uploads = group("Uploads")
downloads = group("Downloads")
retention = group("How long things are kept")
logins = group("Failed logins")
limiting = group("Limits")
operation = group("Operation")

# What costs much and is meant for an hour ends by itself where nobody can end it.
FORGOTTEN = 300.0
BACK = "Back to its default when the configuration has not been heard of for 5 minutes."


ALONE = "Whether limited requests are served while redis-cache is away: open, closed, or a process' share."


class Options(BaseModel):
    """One set of values, which never changes. In a view: `options().symbolicate_max_jobs`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    symbolicate_max_jobs: int = symbolication(10, "Jobs in one request.", ge=1, le=1000)
    # The Firefox Profiler never splits a library: all its addresses come in one request, tens of thousands.
    symbolicate_max_frames: int = symbolication(100_000, "Frames in one request.", ge=1, le=1_000_000)
    symbolicate_max_body_bytes: Bytes = symbolication(
        10 * MIB, "A request's body, as sent and as unpacked.", ge=1, le=1024 * MIB
    )
    symbolicate_deadline_seconds: Seconds = symbolication(
        15.0, "How long a request waits for cold modules, and then looks offsets up.", ge=0, le=300
    )
    symbolicate_max_answer_bytes: Bytes = symbolication(
        32 * MIB, "The frames of an answer, before compression.", ge=1, le=1024 * MIB
    )
    symbolicate_max_cold_modules: int = symbolication(
        500, "Modules in no cache that one request may ask for; further ones fail.", ge=1, le=100_000
    )
    symbolicate_client_cold_modules: int = symbolication(
        64,
        "Cold modules of one client that workers have at a time; half are for the first one of a request.",
        ge=2,
        le=10_000,
    )

    process_header_bytes: Bytes = memory(64 * MIB, "Headers of modules.", ge=1, le=TIB)
    process_page_bytes: Bytes = memory(64 * MIB, "Decoded pages.", ge=1, le=TIB)
    process_frame_bytes: Bytes = memory(64 * MIB, "Rendered frames.", ge=1, le=TIB)
    process_header_seconds: Seconds = memory(
        30.0, "How long a header is trusted without being asked for again.", ge=0, le=86_400
    )

    absent_seconds: Seconds = lifetimes(600.0, "Nobody has the module.", ge=1, le=86_400)
    malformed_seconds: Seconds = lifetimes(86_400.0, "Its symbol file cannot be read.", ge=1, le=2_592_000)
    unreachable_seconds: Seconds = lifetimes(5.0, "A source could not be asked.", ge=1, le=3600)
    download_known_seconds: Seconds = lifetimes(3600.0, "A file is there to be downloaded.", ge=1, le=86_400)

    sources_off: Names = sources((), "Upstream sources that are not asked: their URLs, or parts of them.")
    symbol_max_bytes: Bytes = sources(4096 * MIB, "A symbol file, unpacked.", ge=1, le=TIB)
    source_timeout_seconds: Seconds = sources(10.0, "How long an upstream may be silent.", gt=0, le=300)
    source_deadline_seconds: Seconds = sources(300.0, "How long a whole fetch may take.", gt=0, le=3600)

    upload_max_bytes: Bytes = uploads(4096 * MIB, "An archive, as sent.", ge=1, le=TIB)
    upload_max_unpacked_bytes: Bytes = uploads(16_384 * MIB, "Its members together, unpacked.", ge=1, le=TIB)
    upload_max_members: int = uploads(10_000, "Members of an archive.", ge=1, le=65_535)
    upload_max_ratio: int = uploads(200, "Unpacked bytes for one packed byte.", ge=1, le=2000)
    upload_forbidden_snippets: Names = uploads(("qcom/proprietary",), "No member's name may contain these.")
    upload_direct_max_files: int = uploads(1024, "Files in one direct upload.", ge=1, le=10_000)
    upload_direct_seconds: Seconds = uploads(
        21_600.0, "How long a direct upload may take; less than keep_unfinished_days.", gt=0, le=604_800
    )
    upload_convert_ahead: bool = uploads(True, "Convert symbol files as they come in, ahead of demand.")
    upload_replace: Literal["all", "own", "never"] = uploads(
        "all", "Which stored files an upload of other content replaces: all, the uploader's own, or none."
    )

    download_url_seconds: Seconds = downloads(3600.0, "How long a signed address holds.", ge=1, le=604_800)

    keep_try_days: int = retention(30, "Files of try builds.", ge=1, le=36_500)
    keep_regular_days: int = retention(730, "All other files.", ge=1, le=36_500)
    keep_missing_days: int = retention(30, "Missing symbols that nobody asks for any more.", ge=1, le=36_500)
    keep_missing_rows: int = retention(
        100_000, "Missing symbols at most; the least wanted are dropped.", ge=1, le=100_000_000
    )
    keep_unfinished_days: int = retention(1, "Uploads that never ended.", ge=1, le=365)

    failed_tokens: int = logins(
        100, "Unknown tokens from one address until it has to wait.", ge=1, le=1_000_000
    )
    failure_seconds: Seconds = logins(300.0, "How long failures count, and lock out.", ge=1, le=86_400)

    limit_symbolicate: Frames = limiting((), "Of symbolication: requests and frames.")
    limit_download: Requests = limiting((), "Of downloads: requests.")
    limit_upload: Uploads = limiting((), "Of uploads: requests and bytes as sent.")
    limit_api: Requests = limiting((), "Of `/api/` and `/explain/`: requests.")
    limit_symbolicate_without_redis: Without = limiting("open", ALONE)
    limit_download_without_redis: Without = limiting("open", ALONE)
    limit_upload_without_redis: Without = limiting("closed", ALONE)
    limit_api_without_redis: Without = limiting("open", ALONE)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = operation(
        "INFO", f"What is logged. {BACK}", past=FORGOTTEN
    )
    full_tracing: bool = operation(
        False, f"Log where a symbolication request spent its time. Begin with `1%`. {BACK}", past=FORGOTTEN
    )
    jobs_max_starts: int = operation(
        3, "Starts of a job that ends its process each time; then it is a dead letter.", ge=1, le=100
    )
    log_requests: bool = operation(
        False, "Log each request that is answered. Those that fail with us (5xx) always are."
    )
    maintenance_message: str = operation(
        "We will be back soon.", "What the maintenance page says when nobody said more.", max_length=500
    )
    maintenance_retry_after_seconds: Seconds = operation(
        60.0, "When clients should ask again, unless maintenance has an end.", ge=1, le=86_400
    )


CATALOGUE = catalogue(Options)


def named(name: str) -> Option:
    """Raises BadOption, which names the nearest one there is."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = get_close_matches(name[:LONGEST_SHOWN], CATALOGUE, n=1)
    raise BadOption(f"there is no option {cut(name)!r}" + (f"; did you mean {near[0]}?" if near else ""))
