"""Management commands of the site (`manage.py`), and the texts that they print.

    commands/      one module per command; each turns arguments into calls of the packages below;
                   `symbols` has Fsck, the check that storage, database and page files agree
    configuration  the runtime configuration as lines for people and as JSON for programs
    text           stacks, frames and headers as lines for people; times and durations as operators write
                   them

A command must report an error that an operator can act on as one line (CommandError), never as a traceback.
Commands other than `check_redis` must start without the preflight, so that they work while Redis is down.
"""
