"""Registry of the options that an operator may change while the site runs, with their defaults.

Defaults are code and never stored: a new one is in force wherever no value is set.
docs/runtime-configuration.md lists all options.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tecken.errors import BadOption
from tecken.limits.port import Without
from tecken.runtimeconfig.option import (
    LONGEST_QUOTE,
    Bytes,
    Exceptions,
    Frames,
    Names,
    Option,
    Requests,
    Seconds,
    Uploads,
    build_catalogue,
    group,
    shorten,
)

MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
symbolication = group("Symbolication")
memory = group("Memory of a process")
lifetimes = group("How long results are cached")
sources = group("Sources")
uploads = group("Uploads")
downloads = group("Downloads")
retention = group("How long things are kept")
logins = group("Failed logins")
limiting = group("Limits")
operation = group("Operation")

# Costly options that are meant for an hour must end by themselves when an operator can no longer end them.
PAST = 300.0
BACK = "Reverts to its default after 5 minutes without contact to the configuration."
ALONE = (
    "Limited requests that are served without redis-cache: all (open), none (closed), a share per process."
)


class Options(BaseModel):
    """Immutable set of values. In a view: `options().symbolicate_max_jobs`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    symbolicate_max_jobs: int = symbolication(10, "Jobs in one request.", ge=1, le=1000)
    # The Firefox Profiler never splits a library: all its addresses come in one request, tens of thousands.
    symbolicate_max_frames: int = symbolication(100_000, "Frames in one request.", ge=1, le=1_000_000)
    symbolicate_max_body_bytes: Bytes = symbolication(
        10 * MIB, "A request's body, as sent and as unpacked.", ge=1, le=1024 * MIB
    )
    symbolicate_deadline_seconds: Seconds = symbolication(
        15.0, "How long a request waits for cold modules, and then resolves offsets.", ge=0, le=300
    )
    symbolicate_max_answer_bytes: Bytes = symbolication(
        32 * MIB, "The frames of a response, before compression.", ge=1, le=1024 * MIB
    )
    symbolicate_max_cold_modules: int = symbolication(
        500, "Modules outside every cache that one request may contain; further ones fail.", ge=1, le=100_000
    )
    symbolicate_client_cold_modules: int = symbolication(
        64,
        "Cold modules of one client that workers convert at a time; half of them for the first of a request.",
        ge=2,
        le=10_000,
    )
    minidump_max_bytes: Bytes = symbolication(
        256 * MIB, "A minidump, as sent and as unpacked.", ge=1, le=1024 * MIB
    )
    minidump_deadline_seconds: Seconds = symbolication(
        15.0, "How long a request waits for the report of its minidump before it gets a URL.", ge=0, le=300
    )
    minidump_client_dumps: int = symbolication(
        8, "Minidumps of one client that wait or are processed; further ones get a 429.", ge=1, le=256
    )

    process_header_bytes: Bytes = memory(64 * MIB, "Headers of modules.", ge=1, le=TIB)
    process_page_bytes: Bytes = memory(
        64 * MIB, "Pages; the engine packs those that were not used lately.", ge=1, le=TIB
    )
    process_frame_bytes: Bytes = memory(64 * MIB, "Rendered frames.", ge=1, le=TIB)
    process_header_seconds: Seconds = memory(
        30.0, "How long a header is used before it is checked again.", ge=0, le=86_400
    )

    absent_seconds: Seconds = lifetimes(600.0, "For a module that no source has.", ge=1, le=86_400)
    malformed_seconds: Seconds = lifetimes(
        86_400.0, "For a module whose symbol file cannot be read.", ge=1, le=2_592_000
    )
    unreachable_seconds: Seconds = lifetimes(
        5.0, "For a module when a source did not respond.", ge=1, le=3600
    )
    download_known_seconds: Seconds = lifetimes(3600.0, "For a file that can be downloaded.", ge=1, le=86_400)

    sources_off: Names = sources((), "Upstream sources that are switched off: their URLs, or parts of them.")
    symbol_max_bytes: Bytes = sources(4096 * MIB, "A symbol file, unpacked.", ge=1, le=TIB)
    source_timeout_seconds: Seconds = sources(10.0, "How long an upstream may send nothing.", gt=0, le=300)
    source_deadline_seconds: Seconds = sources(300.0, "How long a whole fetch may take.", gt=0, le=3600)

    upload_max_bytes: Bytes = uploads(4096 * MIB, "An archive, as sent.", ge=1, le=TIB)
    upload_max_unpacked_bytes: Bytes = uploads(16_384 * MIB, "Its members together, unpacked.", ge=1, le=TIB)
    upload_max_members: int = uploads(10_000, "Members of an archive.", ge=1, le=65_535)
    upload_max_ratio: int = uploads(200, "Unpacked bytes for one packed byte.", ge=1, le=2000)
    upload_forbidden_snippets: Names = uploads(
        ("qcom/proprietary",), "Texts that no member's name may contain."
    )
    upload_direct_max_files: int = uploads(1024, "Files in one direct upload.", ge=1, le=10_000)
    upload_direct_seconds: Seconds = uploads(
        21_600.0, "How long a direct upload may take; less than keep_unfinished_days.", gt=0, le=604_800
    )
    upload_convert_ahead: bool = uploads(
        True, "Convert symbol files when they are uploaded, ahead of demand."
    )
    upload_replace: Literal["all", "own", "never"] = uploads(
        "all", "Stored files that an upload with other content replaces: all, those of the uploader, or none."
    )

    download_url_seconds: Seconds = downloads(3600.0, "How long a signed URL is valid.", ge=1, le=604_800)
    source_code_public: bool = downloads(
        False, "Send source files and source bundles to everyone, not only with `storage.view_sources`."
    )

    keep_try_days: int = retention(30, "Files of try builds.", ge=1, le=36_500)
    keep_regular_days: int = retention(730, "All other files.", ge=1, le=36_500)
    keep_fetched_days: int = retention(
        90, "Symbols from upstreams, which are fetched again when they are needed.", ge=1, le=36_500
    )
    keep_missing_days: int = retention(30, "Missing symbols that are no longer requested.", ge=1, le=36_500)
    keep_missing_rows: int = retention(
        100_000, "Most missing symbols to keep; the least requested are dropped.", ge=1, le=100_000_000
    )
    minidump_keep_seconds: Seconds = retention(
        3600.0, "The report of a minidump, at the URL with its id.", ge=60, le=2_592_000
    )
    minidump_keep_dumps: bool = retention(
        False, "Keep minidumps themselves in the storage after they are processed."
    )
    keep_minidump_days: int = retention(
        30, "Minidumps that `minidump_keep_dumps` keeps; all others go with their jobs.", ge=1, le=36_500
    )
    keep_unfinished_days: int = retention(1, "Uploads that were never finished.", ge=1, le=365)

    failed_tokens: int = logins(
        100, "Unknown tokens from one address until it is locked out.", ge=1, le=1_000_000
    )
    failure_seconds: Seconds = logins(
        300.0, "How long failures count, and how long a lock-out lasts.", ge=1, le=86_400
    )

    limit_symbolicate: Frames = limiting((), "Limits of symbolication, by requests and frames.")
    limit_download: Requests = limiting((), "Limits of downloads, by requests.")
    limit_upload: Uploads = limiting((), "Limits of uploads, by requests and bytes as sent.")
    limit_api: Requests = limiting((), "Limits of `/api/` and `/explain/`, by requests.")
    limit_exceptions: Exceptions = limiting(
        (), "Limits of single users and tokens, in place of those above; `/usage/` shows and changes them."
    )
    limit_symbolicate_without_redis: Without = limiting("open", ALONE)
    limit_download_without_redis: Without = limiting("open", ALONE)
    limit_upload_without_redis: Without = limiting("closed", ALONE)
    limit_api_without_redis: Without = limiting("open", ALONE)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = operation(
        "INFO", f"Least severe level that is logged. {BACK}", past=PAST
    )
    full_tracing: bool = operation(
        False, f"Log the time of each step of a symbolication request. Begin with `1%`. {BACK}", past=PAST
    )
    jobs_max_starts: int = operation(
        3, "Starts of a job that ends its process each time, until it is a dead letter.", ge=1, le=100
    )
    log_requests: bool = operation(False, "Log every request. Server errors (5xx) are always logged.")
    maintenance_message: str = operation(
        "We will be back soon.",
        "Text of the maintenance page, unless maintenance has its own.",
        max_length=500,
    )
    maintenance_retry_after_seconds: Seconds = operation(
        60.0, "When clients should retry, unless maintenance has an end.", ge=1, le=86_400
    )


CATALOGUE = build_catalogue(Options)


def find_option(name: str) -> Option:
    """Return an option. Raises BadOption, which names the most similar one."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    similar = get_close_matches(name[:LONGEST_QUOTE], CATALOGUE, n=1)
    raise BadOption(
        f"there is no option {shorten(name)!r}" + (f"; did you mean {similar[0]}?" if similar else "")
    )
