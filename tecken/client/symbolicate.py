"""The command `tecken-symbolicate`, which sends crash reports to a server and prints their functions.

It is `POST /symbolicate/text` (docs/api.md) with clear errors and an exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from tecken.client import __version__
from tecken.client.report import make_printable, print_lines
from tecken.client.site import AUTHORITY_HINT, UNTRUSTED, load_authorities, parse_retry_after
from tecken.errors import redact_url

PATH: Final = "symbolicate/text"
STANDARD_INPUT: Final = Path("-")
DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
# EX_TEMPFAIL of sysexits.h.
TEMPORARY: Final = 75
# That of the server (`symbolicate_max_body_bytes`), unless an operator has changed it.
MAX_BYTES: Final = 10 << 20
# The server answers within `symbolicate_deadline_seconds` and the time for its lookups.
TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0, read=120.0)
ATTEMPTS: Final = 3
# Seconds. With a longer Retry-After the program gives up.
MAX_PAUSE: Final = 30.0
BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
EPILOG: Final = """\
Without a FILE, or with -, the report is read from standard input: tecken-symbolicate < crash.txt

The report can be of a sanitizer, Android, coredumpctl, gdb, LLDB, WinDbg, perf script, the kernel, Rust,
Java, Apple, Firefox, Chromium, Sentry, minidump-stackwalk and others; the server recognizes it. No token is
needed.

exit status:
   0  each report was symbolicated; modules without symbols are listed below its stacks
   1  a report was refused; the reason and the next step are on standard error
   2  wrong usage, no Tecken server answers at this address, or its certificate is not trusted
  75  the server is unreachable or busy: run the same command again
"""


class Refused(Exception):
    """Error for a report that the server does not accept. The text has the reason."""


class NoServer(Exception):
    """Error for an address at which no Tecken server is, or one whose certificate is not trusted."""


class Busy(Exception):
    """Error for a server that is unreachable, or has no time for the request."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Symbolicate each file and print the results. Return the exit status."""
    make_printable(sys.stdout, sys.stderr)
    options = _options(arguments)
    status = DONE
    headers = {
        "User-Agent": f"tecken-symbolicate/{__version__}",
        "Accept": "application/json" if options.json else "text/plain",
        "Content-Type": "text/plain",
    }
    has_titles = len(options.files) > 1 and not options.json
    try:
        with httpx.Client(headers=headers, timeout=TIMEOUT, verify=load_authorities()) as client:
            for path in options.files:
                try:
                    answer = _symbolicate(client, options.url, _read(path))
                except (Refused, OSError) as error:
                    _print_error(f"{_name(path)}: {error}" if isinstance(error, Refused) else str(error))
                    status = SOME_FAILED
                else:
                    print_lines(f"==> {_name(path)} <==\n{answer}" if has_titles else answer)
    except NoServer as error:
        _print_error(str(error))
        return USAGE
    except (Busy, KeyboardInterrupt) as error:
        _print_error(str(error) or "interrupted")
        return TEMPORARY
    return status


def _read(path: Path) -> bytes:
    """Return the content of a file. Raises Refused for one that is too large, and OSError."""
    if path == STANDARD_INPUT:
        if sys.stdin.isatty():
            _print_error("reads a crash report from the terminal; end it with Ctrl-D")
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Refused(f"larger than {MAX_BYTES} bytes: send a text with the stacks and the modules only")
    return content


def _symbolicate(client: httpx.Client, url: str, content: bytes) -> str:
    """Return the server's response to a report.

    Raises:
        Refused: The server does not accept it.
        NoServer: No Tecken server is at this address, or its certificate is not trusted.
        Busy: All attempts are used up.
    """
    address = f"{url.rstrip('/')}/{PATH}"
    for attempt in range(1, ATTEMPTS + 1):
        response = _post(client, address, content)
        if response.status_code not in BUSY:
            break
        pause = parse_retry_after(response.headers.get("Retry-After"))
        if attempt == ATTEMPTS or pause is None or pause > MAX_PAUSE:
            raise Busy(_error(response))
        _print_error(f"{_error(response)}; trying again in {pause:.0f} s")
        time.sleep(pause)
    if response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        raise Refused(_error(response))
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Busy(f"{redact_url(address)}: {response.status_code} {response.reason_phrase}")
    if response.status_code != HTTPStatus.OK or "html" in response.headers.get("Content-Type", ""):
        raise NoServer(f"{redact_url(address)}: no Tecken server answers there ({response.status_code})")
    return response.text.rstrip("\n")


def _post(client: httpx.Client, address: str, content: bytes) -> httpx.Response:
    try:
        return client.post(address, content=content)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise NoServer(f"{redact_url(address)}: {error}") from error
    except httpx.TransportError as error:
        if UNTRUSTED in str(error):
            raise NoServer(f"{redact_url(address)}: {error}; {AUTHORITY_HINT}") from error
        raise Busy(f"{redact_url(address)}: {str(error) or type(error).__name__}") from error


def _error(response: httpx.Response) -> str:
    """Return the text of an error, which is JSON with --json, and a line of text without."""
    try:
        document = response.json()
    except ValueError:
        return " ".join(response.text.split()) or response.reason_phrase
    return str(document.get("error", document)) if isinstance(document, dict) else str(document)


def _name(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _print_error(message: str) -> None:
    print(f"tecken-symbolicate: {message}", file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tecken-symbolicate",
        description="Print the functions, files and lines of a crash report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="*", type=Path, metavar="FILE", help="a crash report, log or debugger's output")
    add("--url", default=os.environ.get("TECKEN_URL"), help="the server (default: TECKEN_URL)")
    add("--json", action="store_true", help="print the server's JSON instead of text")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error("no server: give --url or TECKEN_URL")
    options.files = options.files or [STANDARD_INPUT]
    return options


if __name__ == "__main__":
    sys.exit(main())
