"""What all management commands have in common."""

from __future__ import annotations

from pkgutil import iter_modules

import pytest
from django.core.management import load_command_class

from tecken.management import commands
from tecken.management.command import SiteCommand


@pytest.mark.parametrize("name", [module.name for module in iter_modules(commands.__path__)])
def test_command_starts_without_system_checks(name: str) -> None:
    command = load_command_class("tecken", name)
    assert isinstance(command, SiteCommand)
    assert list(command.requires_system_checks) == []
