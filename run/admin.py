"""The account `admin` of this checkout's site: `python -m run.admin` creates it or gives it a new password.

It is for development only; other sites use `manage.py createsuperuser`. `python -m run.admin prepare` writes
version.json, migrates the database and creates the first account, whose password it prints. These steps share
one process, because each start of Django costs a newcomer a second.
"""

from __future__ import annotations

import os
import secrets
import sys

import django
from django.conf import settings
from django.db import DatabaseError

from run.checkout import ROOT, environment, read_state, write_version

NAME = "admin"
PASSWORD_BYTES = 12


def main() -> None:
    """Create the account or reset its password, and print the password."""
    os.chdir(ROOT)
    os.environ |= environment(read_state())
    set_up()
    if not is_for_developers():
        sys.exit("No account was created: make admin is for development. Use manage.py createsuperuser.")
    try:
        print(f"Log in as {NAME} with the password {reset_password()}")
    except DatabaseError as error:
        sys.exit(f"No account was created: {error}; make run prepares the database.")


def prepare() -> None:
    """Prepare the site of `make run`. Print the password of the first account if it is created now."""
    write_version()
    set_up()
    from django.core.management import call_command  # noqa: PLC0415 - after django.setup

    from tecken.accounts.sessions import is_login_possible  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    if is_for_developers() and not is_login_possible():
        print(reset_password())


def set_up() -> None:
    """Set Django up."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    django.setup()


def is_for_developers() -> bool:
    """Return whether an account with a printed password is safe and useful here.

    A .env may configure production or OpenID Connect.
    """
    return settings.ENVIRONMENT != "production" and not settings.OIDC_RP_CLIENT_ID


def reset_password() -> str:
    """Give the account a random password and all permissions. Return the password."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - after django.setup

    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user, _ = User.objects.get_or_create(username=NAME)
    user.is_active = user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save()
    return password


if __name__ == "__main__":
    prepare() if sys.argv[1:] == ["prepare"] else main()
