"""Join the symbol files of programs into one module, which is larger than each of them.

    python -m bench.joined_symbols FILE.sym... --to DIR

Writes DIR/joined/<DEBUG ID>/joined.sym. The records are those of the files; the addresses of each file begin
after those of the file before it, as if a linker had joined the programs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

NAME: Final = "joined"
DEBUG_ID: Final = "1" * 32 + "0"
ALIGNMENT: Final = 1 << 20


def main() -> None:
    """Write the joined file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.sym")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    path = options.to / NAME / DEBUG_ID / f"{NAME}.sym"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as joined:
        joined.write(f"MODULE Linux x86_64 {DEBUG_ID} {NAME}\n".encode())
        joiner = Joiner()
        for name in options.files:
            with name.open("rb") as file:
                joined.writelines(joiner.records(file))
            joiner.next_file()
        joined.writelines(joiner.last_records())
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


class Joiner:
    """Renumbering of the records of one file after the other."""

    def __init__(self) -> None:
        self._base = self._first_file = self._first_origin = 0
        self._end = self._files = self._origins = 0
        # Of all files, because STACK records are the last ones in a symbol file.
        self._publics: list[bytes] = []
        self._stacks: list[bytes] = []

    def next_file(self) -> None:
        """Begin after all records that were read."""
        self._base = (self._end // ALIGNMENT + 1) * ALIGNMENT
        self._first_file, self._first_origin = self._files, self._origins

    def last_records(self) -> Iterator[bytes]:
        """Yield the PUBLIC and STACK records of all files."""
        yield from self._publics
        yield from self._stacks

    def records(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the other records of a file with the numbers and addresses that they have from now on."""
        for line in file:
            kind, _, rest = line.partition(b" ")
            if kind == b"FILE":
                number, _, name = rest.partition(b" ")
                self._files = max(self._files, self._first_file + int(number) + 1)
                yield b"FILE %d %s" % (self._first_file + int(number), name)
            elif kind == b"INLINE_ORIGIN":
                number, _, name = rest.partition(b" ")
                self._origins = max(self._origins, self._first_origin + int(number) + 1)
                yield b"INLINE_ORIGIN %d %s" % (self._first_origin + int(number), name)
            elif kind == b"INLINE":
                yield self._inline(rest.split())
            elif kind == b"FUNC":
                yield self._moved(line, 2 if rest.startswith(b"m ") else 1)
            elif kind == b"PUBLIC":
                self._publics.append(self._moved(line, 2 if rest.startswith(b"m ") else 1))
            elif kind == b"STACK":
                self._stacks.append(self._moved(line, 3 if rest.startswith(b"CFI INIT") else 2))
            elif kind not in {b"MODULE", b"INFO"}:
                address, size, number, source = line.split()
                place = self._base + int(address, 16)
                self._end = max(self._end, place + int(size, 16))
                yield b"%x %s %s %d\n" % (place, size, number, self._first_file + int(source))

    def _inline(self, words: Sequence[bytes]) -> bytes:
        depth, line, file, origin, *ranges = words
        places = self._first_file + int(file), self._first_origin + int(origin)
        moved = [
            b"%x" % (self._base + int(word, 16)) if number % 2 == 0 else word
            for number, word in enumerate(ranges)
        ]
        return b"INLINE %s %s %d %d %s\n" % (depth, line, *places, b" ".join(moved))

    def _moved(self, line: bytes, index: int) -> bytes:
        """Return a line one of whose words is an address."""
        words = line.split(b" ", index + 1)
        place = self._base + int(words[index], 16)
        self._end = max(self._end, place)
        words[index] = b"%x" % place
        return b" ".join(words)


if __name__ == "__main__":
    main()
