"""Stacks as people have them: crash reports and debuggers' output, read into modules and module offsets."""
