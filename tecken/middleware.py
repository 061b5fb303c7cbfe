"""What every request passes before the URL table is asked."""

from __future__ import annotations
