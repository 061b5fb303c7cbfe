"""`python -m run.admin`: makes the account `admin` of this checkout's site, or gives it a new password.

For development only; other sites use `manage.py createsuperuser`.
"""

from __future__ import annotations

import os
import secrets
import sys

import django
from django.conf import settings
from django.db import DatabaseError

from run.checkout import ROOT, environment, running

NAME = "admin"
PASSWORD_BYTES = 12


def main() -> None:
    os.chdir(ROOT)
    os.environ |= environment(running())
    set_up()
    if not is_for_developers():
        sys.exit("No account was made: make admin is for development. Use manage.py createsuperuser.")
    try:
        print(f"Log in as {NAME} with the password {reset()}")
    except DatabaseError as error:
        sys.exit(f"No account was made: {error}; make run prepares the database.")


def set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    django.setup()


def is_for_developers() -> bool:
    """Whether an account with a printed password is safe and of use: a .env may say production or OpenID."""
    return settings.ENVIRONMENT != "production" and not settings.OIDC_RP_CLIENT_ID


def reset() -> str:
    """Give the account a random password and all permissions. Return the password."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - after django.setup

    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user, _ = User.objects.get_or_create(username=NAME)
    user.is_active = user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save()
    return password


if __name__ == "__main__":
    main()
