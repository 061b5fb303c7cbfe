from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tecken.settings"
os.environ["SECRET_KEY"] = "tests"
