"""Checks that a process passes before it starts: the settings, and what each Redis server must be like.

    rules       what two servers must be like, as pure functions of Facts (one INFO); health applies them
                too; problems of the settings, which `manage.py check --deploy` reports too
    inspect     inspection of one server: connection, permissions, writes, facts; the commands and key names
                that an account must allow; reasons why a server cannot be reached, without passwords
    startup     all checks together, repeated while a problem may pass; lines and exit status of a process
                that starts; every check with its outcome, for `manage.py check_redis`

A process ends with 78 (EX_CONFIG) when a problem needs a person, and with 75 (EX_TEMPFAIL) when it may pass
by itself. All problems are reported at once.

No line may hold a password, and a check must not change anything on a server. Management commands other than
check_redis must work without Redis, so none of this runs when Django is set up.
"""
