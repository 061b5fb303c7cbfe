"""The command `tecken-upload`: its arguments, its output and its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from stamina.instrumentation import RetryDetails, set_on_retry_hooks
from tqdm import tqdm

from tecken.client import __version__
from tecken.client.files import Found, SymbolFile, find
from tecken.client.modules import Finding, check, describe
from tecken.client.site import QUICK, Failed, RequestRefused, Site, TryLater
from tecken.client.sources import bundle_sources
from tecken.client.uploads import Outcome, send_archives, send_direct
from tecken.symbols.layouts import FileType

CHECK: Final = "check"
DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
# EX_TEMPFAIL of sysexits.h.
TEMPORARY: Final = 75
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Find and send the files, or check them. Return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == [CHECK]:
        return _check(given[1:])
    options = _options(given)
    if options.sources and not options.sources.is_dir():
        _print_error(f"no such directory: {options.sources}")
        return USAGE
    found = find(options.paths, options.extensions)
    for note in [*found.notes, *_describe_problems(found)]:
        _print_error(f"warning: {note}")
    for problem in found.problems:
        _print_error(problem)
    if not found.files:
        _print_error("no symbol files found")
        return USAGE
    with TemporaryDirectory(prefix="tecken-upload-") as directory:
        if options.sources:
            _add_source_bundles(found, options.sources, Path(directory))
        if options.dry_run:
            _print(*(f"{file.key}\t{file.size}\t{file.path}" for file in found.files))
            return SOME_FAILED if found.problems else DONE
        return _upload(found, options)


def _add_source_bundles(found: Found, root: Path, directory: Path) -> None:
    """Add the source bundles of the modules to the files, and print what is in them."""
    before = len(found.problems)
    for bundle in bundle_sources(found.modules, root, directory, found.problems):
        if bundle.file:
            found.files.append(bundle.file)
        # On standard error: with --dry-run, standard output is a list of files.
        _print_error(
            f"{bundle.name}: {bundle.found} source files below {root}, {bundle.left_out} others left out"
        )
    for problem in found.problems[before:]:
        _print_error(problem)


def _describe_problems(found: Found) -> list[str]:
    """Return a line for each file that is sent and will not symbolicate."""
    sent = [finding for finding in check(found.modules) if finding.module.ids]
    return [f"{finding.module.path}: {problem}" for finding in sent for problem in finding.problems]


def _check(arguments: Sequence[str]) -> int:
    """Show the ids of the files, and which of them will not symbolicate. Return the exit status."""
    options = _check_parser().parse_args(arguments)
    if missing := [str(path) for path in options.paths if not path.exists()]:
        _print_error(f"no such file or directory: {', '.join(missing)}")
        return USAGE
    found = find(options.paths)
    findings = sorted(check(found.modules), key=lambda finding: finding.module.path)
    for finding in findings:
        _print(*_format_finding(finding))
    for line in [*found.notes, *found.problems]:
        _print_error(line)
    if not findings and not found.problems:
        _print_error("no symbol files found")
        return USAGE
    failed = sum(bool(finding.problems) for finding in findings)
    _print(f"{len(findings)} files: {len(findings) - failed} will symbolicate, {failed} will not")
    return SOME_FAILED if failed or found.problems else DONE


def _format_finding(finding: Finding) -> list[str]:
    module = finding.module
    lines = [str(module.path), *(f"  {line}" for line in describe(module))]
    lines += [f"  stored as {key}" for key in module.keys]
    lines += [f"  note: {remark}" for remark in finding.remarks]
    verdicts = [f"  will not symbolicate: {problem}" for problem in finding.problems]
    return lines + (verdicts or ["  will symbolicate"])


def _upload(found: Found, options: argparse.Namespace) -> int:
    set_on_retry_hooks([_print_retry])
    try:
        with Site(options.url, options.token) as site:
            outcome = _send(site, found.files, options.protocol, options.to_try)
    except (TryLater, KeyboardInterrupt) as error:
        _print_error(f"{str(error) or 'interrupted'}; what was stored stays, so run the same command again")
        return TEMPORARY
    except RequestRefused as error:
        _print_error(str(error))
        return USAGE
    except (Failed, OSError) as error:
        _print_error(str(error))
        return SOME_FAILED
    for warning in outcome.warnings:
        _print_error(f"warning: {warning}")
    for problem in outcome.problems:
        _print_error(problem)
    _print(_summary(found.files, outcome), *(f"{site.url}uploads/{number}/" for number in outcome.uploads))
    return SOME_FAILED if found.problems or outcome.problems else DONE


def _send(site: Site, files: Sequence[SymbolFile], protocol: str, to_try: bool) -> Outcome:
    token_info = _fetch_token_info(site)
    if to_try and not token_info.get("try_symbols", True):
        raise RequestRefused(
            "--try needs a token that has upload.upload_try_symbols alone; this one is for regular symbols"
        )
    if protocol == "auto":
        protocol = str(token_info.get("upload_api_version", 1))
    return send_archives(site, files, to_try=to_try) if protocol == "1" else send_direct(site, files)


def _fetch_token_info(site: Site) -> dict[str, Any]:
    """Return the server's description of the token, so that an invalid one fails before any other work."""
    try:
        return site.post("upload/auth_info/", timeout=QUICK)
    except RequestRefused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            # Older servers have no such URL.
            return {}
        raise


def _summary(files: Sequence[SymbolFile], outcome: Outcome) -> str:
    size = tqdm.format_sizeof(sum(file.size for file in files), "B")
    summary = f"{len(files)} files, {size}: {outcome.stored} stored, {outcome.there_before} there before"
    summary += f", {len(outcome.warnings)} warnings" * bool(outcome.warnings)
    return summary + f", {len(outcome.problems)} failed" * bool(outcome.problems)


def _print(*lines: str) -> None:
    """Print the lines. A reader that has closed its end, such as `head`, does not change the exit status."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        # Without this, Python would fail again when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(message: str) -> None:
    tqdm.write(f"tecken-upload: {message}", file=sys.stderr)


def _print_retry(details: RetryDetails) -> None:
    _print_error(f"{details.caused_by}; trying again in {details.wait_for:.0f} s")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.token = _token(options)
    except OSError as error:
        parser.error(f"cannot read the token: {error}")
    if not options.dry_run and not options.url:
        parser.error("no server: give --url or TECKEN_URL")
    if not options.dry_run and not options.token:
        parser.error("no token: give TECKEN_TOKEN, --token-file or --token")
    if missing := [str(path) for path in options.paths if not path.exists()]:
        parser.error(f"no such file or directory: {', '.join(missing)}")
    return options


def _token(options: argparse.Namespace) -> str:
    if options.token_file:
        return str(options.token_file.read_text().strip())
    return str(options.token or os.environ.get("TECKEN_TOKEN", "")).strip()


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
    add(
        "--try",
        dest="to_try",
        action="store_true",
        help="store as symbols of a try build, apart from the regular ones",
    )
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add(
        "--protocol",
        choices=("1", "2", "auto"),
        default="auto",
        help="upload zip archives (1), or each file directly to storage (2); auto is what the server prefers",
    )
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
    add("--dry-run", action="store_true", help="list the files that would be sent: key, bytes, path")
    return parser


def _check_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"tecken-upload {CHECK}",
        description="Show the ids of symbol files and native files, and which of them will not symbolicate.",
        epilog=CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file, or a directory to search"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
