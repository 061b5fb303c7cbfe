"""Backends of our own storage: uploaded files, page files and staging, in a bucket, a directory or memory."""
