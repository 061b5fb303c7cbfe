"""Takes a pasted text for what it is."""

from __future__ import annotations

from collections.abc import Callable

from tecken.errors import BadInput, TooMuch
from tecken.stacks import debuggers, listed, reports, stackwalk
from tecken.stacks.paste import Paste

FORMS: tuple[Callable[[str], Paste | None], ...] = (
    reports.report,
    stackwalk.machine,
    stackwalk.human,
    debuggers.mac,
    debuggers.gdb,
    listed.listed,
)
KNOWN = (
    "a symbolication request (v4 or v5), what minidump_stackwalk prints (also with -m or --json), "
    "a Socorro or Firefox crash as JSON, an Apple crash report, a gdb backtrace with `eu-unstrip -n`, "
    "or lines of `module id +0xoffset`"
)


def read(text: str, most_frames: int) -> Paste:
    """Raises BadInput for what is none of these, TooMuch for more frames than `most_frames`."""
    for form in FORMS:
        paste = form(text)
        if paste and any(
            frame.module is not None or frame.given for thread in paste.threads for frame in thread.frames
        ):
            return _bounded(paste, most_frames)
    raise BadInput(f"No stack found in this text. It can be {KNOWN}.")


def _bounded(paste: Paste, most: int) -> Paste:
    frames = sum(len(thread.frames) for thread in paste.threads)
    if frames > most:
        raise TooMuch(f"Too many frames: {frames}, at most {most} at a time")
    return paste
