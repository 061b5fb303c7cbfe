"""Command line of `tecken-upload`, and the variables of the environment that stand for options."""

from __future__ import annotations

import argparse
import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tecken.client import __version__
from tecken.client.origin import MAX_LENGTH, SYSTEMS, UploadOrigin, find_origin
from tecken.errors import redact_url
from tecken.symbols.layouts import FileType

CHECK: Final = "check"
EPILOG: Final = """\
Native files (ELF, PE, PDB, Mach-O, dSYM, WebAssembly) are found by their content, whatever their names, and
are stored below the ids in them. `tecken-upload check PATH...` shows these ids, and which files will not
symbolicate and why, without a server.

With `--sources ROOT` the source files below ROOT are sent, too, in a bundle for each module. tecken-dump or
llvm-dwarfdump lists those of native files.

The token needs the permission upload.upload_symbols or upload.upload_try_symbols. Give it in TECKEN_TOKEN or
in a file: every user of the machine can see the arguments of a command.

exit status:
   0  the server has every file
   1  some files failed; each is named on standard error, the others were sent
   2  wrong usage, nothing to upload, or the server does not take this token
  75  the server is unreachable or busy: run the same command again, it sends only what is missing
"""
CHECK_EPILOG: Final = """\
Nothing is sent, and no server is needed. Give executables and their debug files together: they are paired by
their ids, and ELF files also by their debug links.

exit status:
   0  every file will symbolicate
   1  some files will not, or cannot be read; the reason is shown for each
   2  wrong usage, or there is no symbol file
"""


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of an upload, with `token` and `origin`. Ends the program if they are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.token = _token(options)
    except (OSError, ValueError) as error:
        parser.error(f"cannot read the token: {error}")
    options.origin = _find_origin(options)
    if long := [name for name, text in options.origin.fields().items() if len(text) > MAX_LENGTH]:
        parser.error(f"--{long[0]} is longer than {MAX_LENGTH} characters")
    if not options.dry_run and not options.url:
        parser.error("no server: give --url or TECKEN_URL")
    if not options.dry_run and not options.token:
        address = f"{redact_url(options.url).rstrip('/')}/tokens/"
        parser.error(f"no token: create one at {address}, and give TECKEN_TOKEN, --token-file or --token")
    if missing := [str(path) for path in options.paths if not path.exists()]:
        parser.error(f"no such file or directory: {', '.join(missing)}")
    if options.sources and not options.sources.is_dir():
        parser.error(f"no such directory: {options.sources}")
    return options


def parse_check_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of `check`. Ends the program if they are wrong."""
    parser = argparse.ArgumentParser(
        f"tecken-upload {CHECK}",
        description="Show the ids of symbol files and native files, and which of them will not symbolicate.",
        epilog=CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file, or a directory to search"
    )
    return parser.parse_args(arguments)


def _find_origin(options: argparse.Namespace) -> UploadOrigin:
    """Return the origin from the options, and for those that are not given, from the CI system."""
    given = {name: getattr(options, name) for name in UploadOrigin._fields}
    return find_origin(os.environ)._replace(
        **{name: text for name, text in given.items() if text is not None}
    )


def _token(options: argparse.Namespace) -> str:
    """Return the token. Raises OSError, or ValueError for text that cannot be one."""
    if options.token_file:
        content = options.token_file.read_bytes()
        # PowerShell writes UTF-16, and other programs of Windows begin UTF-8 with a byte order mark.
        encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
        token = str(content.decode(encoding)).strip()
    else:
        token = str(options.token or os.environ.get("TECKEN_TOKEN", "")).strip()
    if not (token.isascii() and token.isprintable()):
        raise ValueError("it has characters that no token has")
    return token


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "tecken-upload",
        usage="%(prog)s [options] PATH...\n       %(prog)s check PATH...",
        description="Send a build's symbol files to a Tecken server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a symbol file, or a directory to search")
    add("--url", default=os.environ.get("TECKEN_URL"), help="the server (default: TECKEN_URL)")
    add("--token-file", type=Path, metavar="FILE", help="a file that contains only the token")
    add("--token", help="the token itself (default: TECKEN_TOKEN)")
    _add_origin(parser)
    _add_output(parser)
    _add_files(parser)
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_origin(parser: argparse.ArgumentParser) -> None:
    systems = ", ".join(system.name for system in SYSTEMS)
    group = parser.add_argument_group(
        "where the upload is from",
        "Shown with the upload on the server. In a job of\n"
        f"{systems}\n"
        "the defaults come from its variables; the note is then the address of the job.\n"
        "An empty text leaves one out.",
    )
    group.add_argument("--build", metavar="NAME", help="name or number of the build")
    group.add_argument("--branch", metavar="NAME", help="branch of the source code")
    group.add_argument("--commit", metavar="SHA", help="commit of the source code")
    group.add_argument("--note", metavar="TEXT", help="anything else that helps to find the upload")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_mutually_exclusive_group().add_argument
    add("--quiet", action="store_true", help="print only problems and the address of the upload")
    add("--json", action="store_true", help="print one JSON document with files, addresses and totals")
    add("--dry-run", action="store_true", help="list the files that would be sent: key, bytes, path")


def _add_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is sent, and how").add_argument
    add(
        "--extensions",
        type=lambda text: text.split(","),
        metavar=".A,.B",
        help="take only native files with these endings from directories (default: all that begin like a "
        f"native file). {FileType.SYMBOL_FILE.suffix} files are always taken",
    )
    add(
        "--sources",
        type=Path,
        metavar="ROOT",
        help="also send the source files that the debug information names and that are below this directory",
    )
    add(
        "--try",
        dest="to_try",
        action="store_true",
        help="store as symbols of a try build, apart from the regular ones",
    )
    add(
        "--protocol",
        choices=("1", "2", "auto"),
        default="auto",
        help="upload zip archives (1), or each file directly to storage (2); auto is what the server prefers",
    )
