"""The command `tecken-symbolicate`, which sends crash reports to a server and prints their functions.

It is `POST /symbolicate/text` or, for a minidump, `POST /process/minidump` (docs/api.md), with clear errors
and an exit status.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

import httpx

from tecken.client import __version__
from tecken.client.exchange import Busy, NoServer, Refused, exchange, is_page, open_client, print_remark
from tecken.client.minidump import COMPRESSED, HEAD_BYTES, find_encoding, process_minidump
from tecken.client.report import make_printable, print_lines
from tecken.client.uploads import CHUNK_BYTES
from tecken.errors import redact_url
from tecken.symbolication.minidump.text import format_minidump

PATH: Final = "symbolicate/text"
STANDARD_INPUT: Final = Path("-")
DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
# EX_TEMPFAIL of sysexits.h.
TEMPORARY: Final = 75
# Of a text: that of the server (`symbolicate_max_body_bytes`), unless an operator has changed it.
MAX_BYTES: Final = 10 << 20
# Of a minidump on standard input, which needs a copy on the disk (`minidump_max_bytes`).
MAX_INPUT_BYTES: Final = 256 << 20
EPILOG: Final = """\
Without a FILE, or with -, the report is read from standard input: tecken-symbolicate < crash.txt

A minidump (.dmp) or a Linux core file, also compressed with gzip or zstd, is sent to the server, which walks
its stacks and deletes it afterwards. The text has the crash, the thread that crashed, a line for each other
thread, and the modules.

A text can be of a sanitizer, Android, coredumpctl, gdb, LLDB, WinDbg, perf script, the kernel, Rust,
Java, Apple, Firefox, Chromium, Sentry, minidump-stackwalk and others; the server recognizes it. No token is
needed.

exit status:
   0  each report was symbolicated; modules without symbols are listed below its stacks
   1  a report was refused; the reason and the next step are on standard error
   2  wrong usage, no Tecken server answers at this address, or its certificate is not trusted
  75  the server is unreachable or busy: run the same command again
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Symbolicate each file and print the results. Return the exit status."""
    make_printable(sys.stdout, sys.stderr)
    options = _options(arguments)
    status = DONE
    has_titles = len(options.files) > 1 and not options.json
    try:
        with open_client() as client:
            for path in options.files:
                try:
                    answer = _symbolicate(client, options, path)
                except (Refused, OSError) as error:
                    reason = (isinstance(error, OSError) and error.strerror) or error
                    print_remark(f"{_name(path)}: {reason}")
                    status = SOME_FAILED
                else:
                    print_lines(f"==> {_name(path)} <==\n{answer}" if has_titles else answer)
    except NoServer as error:
        print_remark(str(error))
        return USAGE
    except (Busy, KeyboardInterrupt) as error:
        print_remark(str(error) or "interrupted")
        return TEMPORARY
    return status


def _symbolicate(client: httpx.Client, options: argparse.Namespace, path: Path) -> str:
    """Return the text or the JSON of a file, which is a minidump or a text.

    Raises:
        Refused: The server does not accept it.
        NoServer: No Tecken server is at this address, or its certificate is not trusted.
        Busy: All attempts are used up.
        OSError: The file cannot be read.
    """
    with _open(path) as file:
        encoding = find_encoding(file.read(HEAD_BYTES))
        if encoding is not None:
            report = process_minidump(client, options.url, file, encoding)
            if options.json:
                return json.dumps(report)
            return format_minidump(report, site=options.url, all_threads=options.all_threads).rstrip("\n")
        file.seek(0)
        content = file.read(MAX_BYTES + 1)
    if not content:
        raise Refused("the file is empty")
    if len(content) > MAX_BYTES:
        raise Refused(f"larger than {MAX_BYTES} bytes: send a text with the stacks and the modules only")
    return _symbolicate_text(
        client, options.url, content, "application/json" if options.json else "text/plain"
    )


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a file that can be read again from its start: of standard input and pipes a copy on the disk."""
    if path == STANDARD_INPUT:
        if sys.stdin.isatty():
            print_remark("reads a crash report from the terminal; end it with Ctrl-D")
        with _copy(sys.stdin.buffer) as copy:
            yield copy
        return
    with path.open("rb") as file:
        if file.seekable():
            yield file
            return
        with _copy(file) as copy:
            yield copy


@contextmanager
def _copy(source: BinaryIO) -> Iterator[BinaryIO]:
    """Copy a stream to a file without a name. Raises Refused for a long one."""
    with TemporaryFile(prefix="tecken-symbolicate-") as copy:
        while chunk := source.read(CHUNK_BYTES):
            copy.write(chunk)
            if copy.tell() > MAX_INPUT_BYTES:
                raise Refused(f"more than {MAX_INPUT_BYTES} bytes in a pipe: give the name of a file")
        copy.seek(0)
        yield copy


def _symbolicate_text(client: httpx.Client, url: str, content: bytes, content_type: str) -> str:
    address = f"{url.rstrip('/')}/{PATH}"
    headers = {"Accept": content_type, "Content-Type": "text/plain"}
    for start, encoding in COMPRESSED.items():
        if content.startswith(start):
            headers["Content-Encoding"] = encoding
    response = exchange(client, "POST", address, lambda: content, headers)
    if response.status_code != HTTPStatus.OK or is_page(response):
        raise NoServer(f"{redact_url(address)}: no Tecken server answers there ({response.status_code})")
    return response.text.rstrip("\n")


def _name(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tecken-symbolicate",
        description="Print the functions, files and lines of a crash report, a minidump or a core file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a minidump, core file, crash report, log or debugger's output",
    )
    add("--url", default=os.environ.get("TECKEN_URL"), help="the server (default: TECKEN_URL)")
    add("--json", action="store_true", help="print the server's JSON instead of text")
    add("--all-threads", action="store_true", help="print all threads and modules of a minidump in full")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error("no server: give --url or TECKEN_URL")
    options.files = options.files or [STANDARD_INPUT]
    return options


if __name__ == "__main__":
    sys.exit(main())
