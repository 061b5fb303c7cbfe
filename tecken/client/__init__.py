"""The `tecken-upload` program. Apart from the server: it needs a URL and a token, no Django and no Redis."""
