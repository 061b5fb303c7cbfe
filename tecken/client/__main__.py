"""Entry point of `python -m tecken.client`."""

from __future__ import annotations

import sys

from tecken.client.command import main

sys.exit(main())
