"""`python -m run.prepare`: version.json, the database and the first account of the site of `make run`.

Prints the password of that account when it was made just now, and nothing otherwise. One process, because
each start of Django takes a second of those that a newcomer waits.
"""

from __future__ import annotations

from run import admin, version


def main() -> None:
    version.write()
    admin.set_up()
    from django.core.management import call_command  # noqa: PLC0415 - after django.setup

    from tecken.accounts.login import is_login_possible  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    if admin.is_for_developers() and not is_login_possible():
        print(admin.reset())


if __name__ == "__main__":
    main()
