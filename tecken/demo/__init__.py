"""The site in one process, without Redis: to try it, never to serve."""
