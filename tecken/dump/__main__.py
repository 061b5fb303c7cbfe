"""Command line: `python -m tecken.dump`, with the options and exit statuses of `tecken-dump`."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from symbolic.exceptions import SymbolicError

from tecken.dump.cabinet import unpack
from tecken.dump.demangling import demangle_all
from tecken.dump.objects import ModuleIdentity, NativeObject, merge_stack_records
from tecken.dump.symcache import SymCache
from tecken.dump.text import SymbolWriter
from tecken.errors import Malformed

PROGRAM: Final = "tecken-dump"
MALFORMED: Final = 2
WRONG_USAGE: Final = 64


class Parser(argparse.ArgumentParser):
    """Parser that ends with the status of `tecken-dump` for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(WRONG_USAGE, f"{PROGRAM}: {message}; see {PROGRAM} --help\n")


def main() -> int:
    """Write the symbol file of a native file to standard output. Return the exit status."""
    options = make_parser().parse_args()
    try:
        if options.unpack:
            unpack(options.unpack, sys.stdout.buffer)
        else:
            write(options, sys.stdout.buffer)
    except (Malformed, SymbolicError, OSError) as error:
        return refuse(str(error))
    except MemoryError:
        return refuse("the file needs more memory than it may have")
    # The file is the only input, so that each other error is one of a parser about it.
    except Exception as error:  # noqa: BLE001
        return refuse(f"a parser stopped: {error!r}")
    return 0


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(prog=PROGRAM, description="Write the text of a symbol file for a native file.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("file", metavar="FILE", type=Path, nargs="?")
    action.add_argument("--unpack", metavar="CAB_FILE", type=Path, help="write the only file in a CAB file")
    parser.add_argument("--arch", help="program of a fat file (x86_64, arm64, ...), default: the first one")
    parser.add_argument("--name", help="name in the MODULE record, default: the base name of FILE")
    parser.add_argument("--cfi", metavar="EXECUTABLE", type=Path, help="executable with unwind information")
    unread = "read by the program in Rust only"
    parser.add_argument("--supplementary", metavar="DWZ_FILE", help=unread)
    parser.add_argument("--package", metavar="DWP_FILE", help=unread)
    parser.add_argument("--version", action="version", version=engine_name())
    return parser


def engine_name() -> str:
    """Return the name and version of the library that reads native files."""
    return f"symbolic {version('symbolic')}"


def refuse(reason: str) -> int:
    """Print the reason in one line. Return the exit status."""
    print(" ".join(reason.split()), file=sys.stderr)
    return MALFORMED


def write(options: argparse.Namespace, out: BinaryIO) -> None:
    """Write the symbol file. Raises Malformed, and other errors that `main` handles."""
    file = NativeObject(options.file, options.arch)
    executable = NativeObject(options.cfi, options.arch) if options.cfi else None
    module = complete(file.module, executable)
    cache = file.symcache()
    stack = file.stack_records()
    if executable:
        stack = merge_stack_records(stack, executable.stack_records())
    mini = [] if cache.has_lines else list(find_mini_symbols(file))
    if not (cache.function_count or mini or stack):
        raise Malformed("the file has neither symbols nor unwind information")
    write_module(out, module, options.file.name if options.name is None else options.name)
    write_symbols(out, cache, mini, file.base)
    out.write(stack)
    out.flush()


def complete(module: ModuleIdentity, executable: NativeObject | None) -> ModuleIdentity:
    """Return the module with the code id of its executable, if it has none itself."""
    if executable is None:
        return module
    other = executable.module
    if not module.belongs_with(other):
        raise Malformed(f"the executable has the debug id {other.debug_id}, not {module.debug_id}")
    return module if module.code_id else module._replace(code_id=other.code_id, code_file=other.code_file)


def find_mini_symbols(file: NativeObject) -> list[tuple[int, bytes]]:
    """Return the symbols of MiniDebugInfo; none if it cannot be read."""
    with suppress(SymbolicError, Malformed, LookupError):
        return list(file.mini_symbols())
    return []


def write_module(out: BinaryIO, module: ModuleIdentity, name: str) -> None:
    """Write the records that a symbol file begins with."""
    lines = [f"MODULE {module.os} {module.arch} {module.debug_id} {name}"]
    if module.code_id:
        lines.append(f"INFO CODE_ID {module.code_id} {module.code_file}".rstrip())
    lines.append(f"INFO GENERATOR {engine_name()}")
    out.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))


def write_symbols(out: BinaryIO, cache: SymCache, mini: list[tuple[int, bytes]], base: int) -> None:
    """Write the functions, and symbols that are not among them."""
    own = (cache.function_name(number) for number in range(cache.function_count))
    readable = demangle_all([*own, *(name for _, name in mini)])
    writer = SymbolWriter(out, cache, readable, base)
    writer.write(cache.functions())
    for address, name in mini:
        writer.write_public(address, readable.get(name, name))


if __name__ == "__main__":
    sys.exit(main())
