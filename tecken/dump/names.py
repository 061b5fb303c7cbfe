"""Names of functions, spelled as `tecken-dump` and Mozilla's `dump_syms` do it.

Crash signatures are made of these names, so that another spelling would split a signature in two. LLVM's
demangler writes more than they have: types that functions return, calling conventions and hashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import pycxxfilt

PREFIXES: Final = (b"_Z", b"__Z", b"_R", b"__R", b"?", b"@?")
"""Starts of mangled names. Other names must not be demangled: LLVM reads the C function `f` as `float`."""

MAX_MANGLED_BYTES: Final = 4096
"""Longer names stay as they are."""

MAX_READABLE_BYTES: Final = 4096
"""A name whose readable form is longer stays as it is, too: `tecken-dump` has the same bound."""

_RUST_HASH: Final = re.compile(r"17h[0-9a-f]{16}E(?:\.llvm\.\w+)?$")
_RUST_PART: Final = re.compile(r"(\d+)")
_RUST_ESCAPE: Final = re.compile(r"\$(\w+)\$|\.\.")
_RUST_SIGNS: Final = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
# Functions that compilers make: their names begin with words, and they have no type.
_SPECIAL: Final = re.compile(r"_+(?:ZT|ZG)")
_CLONES: Final = {")": " (.", "]": " [clone "}
_CONVENTION: Final = re.compile(r"__(?:cdecl|thiscall|stdcall|fastcall|vectorcall|clrcall) ")
_CLASS_WORD: Final = re.compile(r"\b(?:class|struct|union|enum) ")
_ACCESS: Final = re.compile(r"(?:\[thunk\]: |public: |protected: |private: |static |virtual )+")
_VOID: Final = re.compile(r"\(void\)")
# Part of a function that the compiler moved or copied; debug information has the name without it.
_PARTS: Final = (b"cold", b"part", b"constprop", b"isra", b"lto_priv", b"llvm")
# Names with spaces or brackets that are one part of a name.
_LAMBDA: Final = re.compile(r"'lambda(\d*)'\(")
# An operator that ends with `<` has a space before the arguments of its template.
_OPEN_OPERATOR: Final = re.compile(r"operator(<<(?=<)|<(?=<[^<(=]))")
_LITERAL: Final = re.compile(r"(?<![\w.])(-?\d+)(ull|ul|ll|u|l)\b")
_LITERAL_TYPES: Final = {
    **{"u": "unsigned int", "l": "long", "ul": "unsigned long"},
    **{"ll": "long long", "ull": "unsigned long long"},
}
_VECTOR: Final = re.compile(r" vector\[(\d+)\]")
_THUNK: Final = "non-virtual thunk to "
_THUNK_OFFSET: Final = re.compile(r"_+ZTh(n?\d+)_")
_UNNAMED: Final = re.compile(r"'unnamed(\d*)'")
_OPERATOR: Final = re.compile(
    r"operator(?:\(\)|\[\]|<=>|<<=?|>>=?|->\*?|<=?|>=?|(?: (?:new|delete)(?:\[\])?)|(?:\"\" ?\w+)|[^\w\s(<]+)"
)
_BRACKETS: Final = {"(": 1, "<": 1, "[": 1, "{": 1, ")": -1, ">": -1, "]": -1, "}": -1}
_ANONYMOUS: Final = "(anonymous namespace)"


def is_mangled(name: bytes) -> bool:
    """Return whether a name is mangled by a scheme that can be undone, and short enough for that."""
    return name.startswith(PREFIXES) and len(name) <= MAX_MANGLED_BYTES


def strip_part(name: bytes) -> bytes:
    """Return the name of the function that a part of it has, such as `main` for `main.cold`."""
    if is_mangled(name):
        return name
    words = name.split(b".")
    # A number may follow the word, as in `main.part.0`.
    while len(words) > 1:
        has_number = len(words) > 2 and words[-1].isdigit()
        if words[-2 if has_number else -1] not in _PARTS:
            break
        del words[-2 if has_number else -1 :]
    return b".".join(words)


def demangle(name: str) -> str:
    """Return the name and the parameters of a function; the name as it is if that is not possible.

    For some names of 270 bytes, LLVM's demangler needs gigabytes or ends the process.
    """
    try:
        return _demangler(name)(name) or name
    except ValueError:
        return name


def _demangler(name: str) -> Callable[[str], str | None]:
    if name.startswith(("?", "@?")):
        return _demangle_msvc
    if name.startswith(("_R", "__R")):
        return _demangle_rust
    return _demangle_legacy_rust if _RUST_HASH.search(name) else _demangle_itanium


def _demangle_rust(name: str) -> str | None:
    return pycxxfilt.rust_demangle(name.removeprefix("_") if name.startswith("__") else name)


def _demangle_legacy_rust(name: str) -> str | None:
    """Return a name of Rust's older scheme: parts with their lengths, the last one a hash."""
    parts = list(_rust_parts(name[name.index("ZN") + 2 :]))
    return "::".join(map(_unescape_rust, parts[:-1])) or _demangle_itanium(name)


def _rust_parts(text: str) -> Iterator[str]:
    while match := _RUST_PART.match(text):
        length = int(match[1][:5])
        yield text[match.end() : match.end() + length]
        text = text[match.end() + length :]


def _unescape_rust(part: str) -> str:
    # An underscore stands before a name that would begin with an escape.
    part = part[1:] if part.startswith("_$") else part
    return _RUST_ESCAPE.sub(_rust_sign, part)


def _rust_sign(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "::"
    if re.fullmatch(r"u[0-9a-f]{1,5}", code):
        return chr(int(code[1:], 16))
    return _RUST_SIGNS.get(code, match[0])


def _demangle_itanium(name: str) -> str | None:
    readable = pycxxfilt.itanium_demangle(name)
    if not readable:
        return None
    readable = readable.split("@@")[0]
    # A part that the compiler moved or copied has the name of its function.
    readable = strip_clones(readable)
    if not _SPECIAL.match(name):
        readable = strip_return_type(readable)
    return _respell(rename_lambdas(readable), name)


def _respell(readable: str, mangled: str) -> str:
    """Return a name with the spelling of the older demangler that `dump_syms` uses."""
    readable = _UNNAMED.sub(lambda match: f"{{unnamed type#{_ordinal(match[1])}}}", readable)
    readable = _LITERAL.sub(lambda match: f"({_LITERAL_TYPES[match[2]]}){match[1]}", readable)
    readable = _OPEN_OPERATOR.sub(r"operator\1 ", readable)
    readable = _VECTOR.sub(r" __vector(\1)", readable)
    if readable.startswith(_THUNK) and (offset := _THUNK_OFFSET.match(mangled)):
        function = readable.removeprefix(_THUNK)
        readable = f"{{virtual override thunk({{offset({offset[1].replace('n', '-')})}}, {function})}}"
    return re.sub(r">(?=>)", "> ", readable)


def _demangle_msvc(name: str) -> str | None:
    readable = pycxxfilt.msvc_demangle(name.removeprefix("@"))
    if not readable:
        return None
    readable = _CLASS_WORD.sub("", _ACCESS.sub("", readable))
    return _VOID.sub("()", strip_convention(readable))


def strip_convention(readable: str) -> str:
    """Return a readable name of Windows from behind its calling convention."""
    end = 0
    for match in _CONVENTION.finditer(readable):
        if match.start() == 0 or readable[match.start() - 1] == " ":
            end = match.end()
    return readable[end:]


def strip_clones(readable: str) -> str:
    """Return a readable name without the marks of copies, ` (.cold)` or ` [clone .isra.0]`, at its end."""
    while opening := _CLONES.get(readable[-1:]):
        start = readable.rfind(opening)
        inside = readable[start + len(opening) : -1]
        if start < 0 or any(bracket in inside for bracket in "()]"):
            break
        readable = readable[:start]
    return readable


def strip_return_type(readable: str) -> str:
    """Return a readable name of C++ without the type that the function returns.

    It stands before the first space that is not inside of brackets or of the name of an operator.
    """
    start, position, depth = 0, 0, 0
    while position < len(readable):
        operator = _OPERATOR.match(readable, position) if _begins_word(readable, position) else None
        if operator:
            position = operator.end()
            continue
        if readable.startswith(_ANONYMOUS, position):
            position += len(_ANONYMOUS)
            continue
        sign = readable[position]
        if not depth and _begins_parameters(readable, position, start):
            break
        depth += _BRACKETS.get(sign, 0)
        if sign == " " and depth == 0:
            # A conversion has its type after the word `operator`.
            if readable[start:position].endswith("operator"):
                break
            start = position + 1
        position += 1
    return readable[start:]


def rename_lambdas(readable: str) -> str:
    """Return a name with `{lambda(int)#1}` in place of `'lambda'(int)`."""
    position = 0
    while match := _LAMBDA.search(readable, position):
        end = _find_close(readable, match.end())
        inside = readable[match.end() : end]
        lambda_name = f"{{lambda({inside})#{_ordinal(match[1])}}}"
        readable = readable[: match.start()] + lambda_name + readable[end + 1 :]
        # The parameters of a lambda may have lambdas themselves.
        position = match.start() + 1
    return readable


def _find_close(readable: str, position: int) -> int:
    """Return the position of the bracket that closes the one before `position`."""
    depth = 1
    for index in range(position, len(readable)):
        depth += {"(": 1, ")": -1}.get(readable[index], 0)
        if not depth:
            return index
    return len(readable)


def _ordinal(number: str) -> int:
    return int(number) + 2 if number else 1


def _begins_word(readable: str, position: int) -> bool:
    return readable.startswith("operator", position) and not (
        position and (readable[position - 1].isalnum() or readable[position - 1] == "_")
    )


def _begins_parameters(readable: str, position: int, start: int) -> bool:
    return (
        readable[position] == "("
        and position > start
        and not readable[start:position].endswith(("decltype", "auto"))
    )
