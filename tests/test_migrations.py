"""The models and the migrations of the whole site."""

from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_models_compared_with_migrations_are_the_same() -> None:
    """`--check` exits with 1 when a migration is missing."""
    call_command("makemigrations", "--check", "--dry-run", "--verbosity", "0")
