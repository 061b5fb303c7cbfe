"""Checks that a process passes before it starts: the settings, and what each Redis server must be like.

    rules           what two servers must be like, as pure functions of Facts; health applies them too
    facts           Facts of a server: one INFO
    commands        the commands and key names that an account must allow
    inspect         inspection of one server: connection, permissions, writes, facts
    failure         reasons why a server cannot be reached, without passwords
    targets         the servers that the settings name
    site_settings   problems of the settings; `manage.py check --deploy` reports them too
    verify          all checks together, repeated while a problem may pass
    startup         lines and exit status of a process that starts
    report          every check with its outcome, for `manage.py check_redis`

A process ends with 78 (EX_CONFIG) when a problem needs a person, and with 75 (EX_TEMPFAIL) when it may pass
by itself. All problems are reported at once.

No line may hold a password, and a check must not change anything on a server. Management commands other than
check_redis must work without Redis, so none of this runs when Django is set up.
"""
