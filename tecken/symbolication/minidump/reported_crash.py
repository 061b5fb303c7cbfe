"""Lines about the instruction of a crash in a report: what it used, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from tecken.symbolication.minidump.report_values import (
    Json,
    clean,
    read_list,
    read_number,
    read_object,
    read_objects,
    read_text,
    shorten,
)

MAX_ITEMS: Final = 3
# Most addresses have a mapped one at a distance of one bit, with less confidence.
LEAST_CONFIDENCE: Final = 0.5
USES: Final = {"read": "read", "write": "written", "readwrite": "read and written"}
INCONSISTENCIES: Final = {
    "int_div_by_zero_not_possible": "a division by zero is reported, and the instruction does not divide",
    "priv_instruction_crash_without_priv_instruction": (
        "a privileged instruction is reported, and this one is not privileged"
    ),
    "non_canonical_address_falsely_reported": (
        "an address that is not canonical is reported, and the instruction uses none"
    ),
    "access_violation_when_access_allowed": "the reported access is one that the memory allows",
    "crashing_access_not_found_in_memory_accesses": "the instruction makes no such access as is reported",
}


def read_crash_lines(crash: Json) -> Iterator[tuple[str, str]]:
    """Yield titles and texts from the `crash_info` of a report."""
    if instruction := read_text(crash, "instruction"):
        yield "Instruction", instruction
    accesses = read_objects(crash, "memory_accesses")[:MAX_ITEMS]
    if text := ", ".join(filter(None, map(_describe_access, accesses))):
        yield "Memory", text
    yield from _describe_overflow(read_object(crash, "stack_overflow"))
    yield from _describe_adjusted(read_object(crash, "adjusted_address"))
    yield from (("Bit flip", text) for text in _describe_flips(crash))
    for name in read_list(crash, "crash_inconsistencies")[:MAX_ITEMS]:
        yield "Inconsistent", INCONSISTENCIES.get(str(name), clean(name))


def _describe_access(access: Json) -> str:
    address = read_text(access, "address")
    if not address:
        return ""
    size, use = read_number(access, "size"), USES.get(read_text(access, "access_type"), "used")
    extent = "" if size is None else f"{size} byte{'s' if size != 1 else ''} "
    guard = " (a guard page)" if access.get("is_likely_guard_page") is True else ""
    return f"{extent}at {shorten(address)} {use}{guard}"


def _describe_overflow(overflow: Json) -> Iterator[tuple[str, str]]:
    size, distance = read_number(overflow, "stack_size"), read_number(overflow, "distance")
    if size is not None and distance is not None:
        yield "Overflow", f"{distance:,} bytes below the stack, which has {size >> 10:,} KiB"


def _describe_adjusted(adjusted: Json) -> Iterator[tuple[str, str]]:
    if read_text(adjusted, "kind") == "non-canonical":
        address = shorten(read_text(adjusted, "address"))
        yield "Real address", f"{address}, which no program can use (not canonical)"
        return
    with suppress(ValueError):
        offset = int(read_text(adjusted, "offset"), 16)
        yield "Address", f"null pointer with offset {offset}" if offset else "null pointer"


def _describe_flips(crash: Json) -> Iterator[str]:
    """Yield the likely flips, the most likely one first. An address is most often that in a register, too."""
    flips = {read_text(flip, "address"): flip for flip in read_objects(crash, "possible_bit_flips")}
    likely = [flip for address, flip in flips.items() if address and _confidence(flip) >= LEAST_CONFIDENCE]
    for flip in sorted(likely, key=_confidence, reverse=True)[:MAX_ITEMS]:
        register = read_text(flip, "source_register")
        role = f"value of {register}" if register else "address"
        address = shorten(read_text(flip, "address"))
        yield f"{address} may be the right {role} (confidence {_confidence(flip):.0%})"


def _confidence(flip: Json) -> float:
    value = flip.get("confidence")
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0
