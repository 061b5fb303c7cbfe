"""One module per command: `manage.py NAME` runs `Command` in the module NAME."""
