"""The command `tecken-upload`: what it does in which order, and its exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from tecken.client.archives import send_archives
from tecken.client.direct import send_direct
from tecken.client.files import Found, SymbolFile, find
from tecken.client.modules import Finding, check, describe
from tecken.client.options import CHECK, parse_check_options, parse_options
from tecken.client.report import Style, UploadReport, describe_files, make_printable, print_error, print_lines
from tecken.client.site import Failed, RequestRefused, Site, TryLater, Unreachable
from tecken.client.sources import bundle_sources
from tecken.client.uploads import FileState, Limits, Result, Task

DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
# EX_TEMPFAIL of sysexits.h.
TEMPORARY: Final = 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Find and send the files, or check them. Return the exit status."""
    make_printable(sys.stdout, sys.stderr)
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == [CHECK]:
        return _check(given[1:])
    options = parse_options(given)
    found = find(options.paths, options.extensions)
    with TemporaryDirectory(prefix="tecken-upload-") as directory:
        if options.sources and found.files:
            _add_source_bundles(found, options.sources, Path(directory))
        if options.dry_run:
            return _list(found)
        return _upload(found, options)


def _list(found: Found) -> int:
    """Print what would be sent. Return the exit status."""
    for remark in found.notes:
        print_error(f"warning: {remark}")
    for file, problem in _find_problems(found):
        print_error(f"warning: {file.path}: {problem}")
    for remark in found.problems:
        print_error(str(remark))
    if not found.files:
        print_error("no symbol files found")
        return USAGE
    print_lines(*describe_files(found.files))
    return SOME_FAILED if found.problems else DONE


def _add_source_bundles(found: Found, root: Path, directory: Path) -> None:
    """Add the source bundles of the modules to the files, and print what is in them."""
    for bundle in bundle_sources(found.modules, root, directory, found.problems):
        if bundle.file:
            found.files.append(bundle.file)
        # On standard error: standard output is a list of files, or a document.
        print_error(
            f"{bundle.name}: {bundle.found} source files below {root}, {bundle.left_out} others left out"
        )


def _check(arguments: Sequence[str]) -> int:
    """Show the ids of the files, and which of them will not symbolicate. Return the exit status."""
    options = parse_check_options(arguments)
    if missing := [str(path) for path in options.paths if not path.exists()]:
        print_error(f"no such file or directory: {', '.join(missing)}")
        return USAGE
    found = find(options.paths)
    findings = sorted(check(found.modules), key=lambda finding: finding.module.path)
    for finding in findings:
        print_lines(*_format_finding(finding))
    for remark in [*found.notes, *found.problems]:
        print_error(str(remark))
    if not findings and not found.problems:
        print_error("no symbol files found")
        return USAGE
    failed = sum(bool(finding.problems) for finding in findings)
    count = "1 file" if len(findings) == 1 else f"{len(findings)} files"
    print_lines(f"{count}: {len(findings) - failed} will symbolicate, {failed} will not")
    return SOME_FAILED if failed or found.problems else DONE


def _format_finding(finding: Finding) -> list[str]:
    module = finding.module
    lines = [str(module.path), *(f"  {line}" for line in describe(module))]
    lines += [f"  stored as {key}" for key in module.keys]
    lines += [f"  note: {remark}" for remark in finding.remarks]
    verdicts = [f"  will not symbolicate: {problem}" for problem in finding.problems]
    return lines + (verdicts or ["  will symbolicate"])


def _upload(found: Found, options: argparse.Namespace) -> int:
    """Send the files, and print what has happened to each. Return the exit status."""
    with Site(options.url, options.token) as site:
        set_on_retry_hooks([lambda details: _print_retry(site, details)])
        report = UploadReport(found, site.url, options.origin, Style(options.quiet, options.json))
        report.refuse(found.notes, FileState.SKIPPED)
        report.refuse(found.problems, FileState.FAILED)
        for file, problem in _find_problems(found):
            report.warn(file, problem)
        if not found.files:
            report.stop("no symbol files found")
            return report.finish(USAGE)
        return report.finish(_send_all(site, found.files, report, options))


def _find_problems(found: Found) -> Iterator[tuple[SymbolFile, str]]:
    """Yield each file that is sent and will not symbolicate, with the reason."""
    files = {file.path: file for file in found.files}
    for finding in check(found.modules):
        if file := files.get(finding.module.path):
            yield from ((file, problem) for problem in finding.problems)


def _send_all(
    site: Site, files: Sequence[SymbolFile], report: UploadReport, options: argparse.Namespace
) -> int:
    """Send the files and add their results to the report. Return the exit status."""
    try:
        for result in _send(site, files, options):
            report.add(result)
    except (TryLater, KeyboardInterrupt) as error:
        rest = "what was stored stays, so run the same command again"
        report.stop(f"{str(error) or 'interrupted'}; {rest if site.has_responded else 'nothing was sent'}")
        return TEMPORARY
    except RequestRefused as error:
        report.stop(str(error))
        return USAGE
    except (Failed, OSError) as error:
        report.stop(str(error))
        return SOME_FAILED
    return SOME_FAILED if report.has_failures else DONE


def _send(site: Site, files: Sequence[SymbolFile], options: argparse.Namespace) -> Iterator[Result]:
    token_info = site.open()
    if options.to_try and not token_info.get("try_symbols", True):
        raise RequestRefused(
            "--try needs a token that has upload.upload_try_symbols alone; this one is for regular symbols"
        )
    task = Task(Limits.read(token_info), options.origin, options.to_try)
    fitting = []
    for file in files:
        if excess := task.limits.describe_excess(file):
            yield Result(file.key, FileState.FAILED, excess)
        else:
            fitting.append(file)
    protocol = options.protocol
    if protocol == "auto":
        protocol = str(token_info.get("upload_api_version", 1))
    yield from (send_archives if protocol == "1" else send_direct)(site, fitting, task)


def _print_retry(site: Site, details: RetryDetails) -> None:
    # A server that was never reached is given up within seconds, with one line.
    if site.has_responded or not isinstance(details.caused_by, Unreachable):
        print_error(f"{details.caused_by}; trying again in {details.wait_for:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
