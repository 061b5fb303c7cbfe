"""The type of the fixture `runtime_options`."""

from __future__ import annotations

from collections.abc import Callable

Override = Callable[..., None]
