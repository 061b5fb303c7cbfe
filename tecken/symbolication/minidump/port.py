"""Access to symbols that the walk of a dump needs, whatever is behind it: a worker, a test, a directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tecken.symbols.frame import Frame


class ModulePlace(NamedTuple):
    """Module, as its index in the dump's list of modules, and the offset in it in bytes."""

    module: int
    offset: int


class UnwindInfo(NamedTuple):
    """STACK records that apply at a place, as lines of a symbol file.

    `win` is the STACK WIN record, with frame data preferred to FPO, "" if there is none. `cfi` has the STACK
    CFI INIT record and the changes up to the place. `parameter_bytes` is the size of the function's
    parameters.
    """

    win: str
    cfi: tuple[str, ...]
    parameter_bytes: int


class ModuleState(NamedTuple):
    """State of a module's symbols.

    `state` is "loaded", "missing", "corrupt", "unavailable" (a source or a deadline), or "unused" for a
    module that no frame needed. `reason` explains all but "loaded" and "unused".
    """

    state: str
    reason: str = ""


class SymbolAccess(Protocol):
    """Symbols of the dump's modules, each call for many places at once.

    A failure of one module is an item of the result and raises nothing. A module is loaded when it is needed.
    """

    def prepare(self, modules: Sequence[int]) -> None:
        """Load modules that will be needed, all at the same time."""
        ...

    def unwind_info(self, places: Sequence[ModulePlace]) -> Sequence[UnwindInfo | None]:
        """Return the unwind information of each place; None where the module has no symbols."""
        ...

    def are_functions(self, places: Sequence[ModulePlace]) -> Sequence[bool | None]:
        """Return whether each place is in a function; None where the module has no symbols."""
        ...

    def frames(self, places: Sequence[ModulePlace]) -> Sequence[Frame | None]:
        """Return the function, file, line and inlined calls of each place; None where there is no symbol."""
        ...

    def states(self) -> Sequence[ModuleState]:
        """Return the state of each module of the dump."""
        ...
